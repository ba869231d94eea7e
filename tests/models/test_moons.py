from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import moons
from smalti.models.flow import Sampler
from smalti.runtime import Session


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    for name, value in (("STEPS", 60), ("BATCH", 256), ("LAYERS", 2), ("TESTED", 500)):
        monkeypatch.setattr(moons, name, value)
    return tmp_path


def run(module: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        return [y.numpy() for y in module(torch.from_numpy(x))]


def test_the_moons_own_density_is_one() -> None:
    """It sums up to 1, and its sample's mean and variance are those of half circles."""
    axis = np.linspace(-3, 3, 121)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert abs(np.exp(moons.density(grid)).sum() * (axis[1] - axis[0]) ** 2 - 1) <= 1e-3
    points = moons.moons(20000, 1)
    assert np.abs(points.mean(0)).max() <= 0.02
    # x: a half for each arc and a quarter for their distance; sample of y beside the integral
    assert abs(points[:, 0].var() - (0.5 + 0.25 + moons.NOISE**2)) <= 0.02


class ThereAndBack(nn.Module):
    """Both ways in one file: quicker to export."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = moons.model()
        self.back = Sampler(self.flow)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        z, found = self.flow(x)
        return z, found, self.back(z)


def check(session: Session, module: nn.Module, x: np.ndarray) -> None:
    _, found, back = session.run(x)
    assert relative_error(found, run(module, x)[1]) <= 1e-4
    assert np.abs(back - x).max() <= 2e-5


def test_both_engines_find_the_densities_of_torch_and_the_way_back(tiny: Path) -> None:
    module, (x,) = ThereAndBack().eval(), moons.example_inputs()
    export_onnx(module, (x,), tiny / "m.onnx", dynamic_shapes=moons.dynamic_shapes())
    export_tflite(module, (x,), tiny / "m.tflite")
    for suffix in ("onnx", "tflite"):
        session = Session(tiny / f"m.{suffix}", threads=2, native="require")
        check(session, module, x.numpy())
        scores = moons.evaluate(session.run)
        assert scores["nats_moons"] < scores["nats"] < scores["nats_gaussian"] - 0.2, suffix
    fallback = Session(tiny / "m.onnx", threads=1, native="off")
    check(fallback, module, moons.moons(77, 5))


def test_it_trains_once_and_keeps_the_weights(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moons, "STEPS", 2)
    first = moons.model()
    assert [p.name for p in tiny.iterdir()] == [moons.CACHE]
    monkeypatch.setattr(moons, "train", None)  # a second training would fail
    x = moons.moons(9, 3)
    assert np.array_equal(run(first, x)[1], run(moons.model(), x)[1])
