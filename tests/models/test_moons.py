from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import moons
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


def test_both_engines_find_the_densities_of_torch_and_the_way_back(tiny: Path) -> None:
    flow, (x,) = moons.model(), moons.example_inputs()
    z, wanted = run(flow, x.numpy())
    for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        there, back = tiny / f"there.{suffix}", tiny / f"back.{suffix}"
        export(flow, (x,), there)
        export(moons.Sampler(flow).eval(), (torch.from_numpy(z),), back)
        session = Session(there, threads=2, native="require")
        found = session.run(x.numpy())
        assert relative_error(found[1], wanted) <= 1e-4
        (points,) = Session(back, threads=2, native="require").run(found[0])
        assert np.abs(points - x.numpy()).max() <= 2e-5
        scores = moons.evaluate(session.run)
        assert scores["nats_moons"] < scores["nats"] < scores["nats_gaussian"] - 0.2, suffix


def test_any_number_of_points_without_kernels(tiny: Path) -> None:
    flow, (x,) = moons.model(), moons.example_inputs()
    export_onnx(flow, (x,), tiny / "m.onnx", dynamic_shapes=moons.dynamic_shapes())
    more = moons.moons(77, 5)
    found = Session(tiny / "m.onnx", threads=1, native="off").run(more)
    assert relative_error(found[1], run(flow, more)[1]) <= 1e-4


def test_it_trains_once_and_keeps_the_weights(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moons, "STEPS", 2)
    first = moons.model()
    assert [p.name for p in tiny.iterdir()] == [moons.CACHE]
    monkeypatch.setattr(moons, "train", None)  # a second training would fail
    x = moons.moons(9, 3)
    assert np.array_equal(run(first, x)[1], run(moons.model(), x)[1])
