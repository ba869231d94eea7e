"""The operator that solves Burgers' equation, at a tiny size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from engines import both_engines, torch_run

from smalti.export.verify import relative_error
from smalti.models import fno


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    sizes = {"FINE": 64, "POINTS": 32, "STEPS": 20, "WIDTH": 8, "MODES": 6, "LAYERS": 2}
    for name, value in (sizes | {"TRAINED": 64, "TESTED": 8, "EPOCHS": 30, "BATCH": 16}).items():
        monkeypatch.setattr(fno, name, value)
    fno.fields.cache_clear()
    yield tmp_path
    fno.fields.cache_clear()


def test_the_solver_diffuses_small_waves_exactly(tiny: Path) -> None:
    x = np.arange(64) / 64
    wave = 1e-7 * np.sin(2 * np.pi * x)[None]
    wanted = wave * np.exp(-fno.VISCOSITY * (2 * np.pi) ** 2)
    assert np.abs(fno.solved(wave) - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_the_solver_is_of_fourth_order_and_keeps_the_mean(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = fno.starts(4, 3) + 0.2

    def at(steps: int) -> np.ndarray:
        monkeypatch.setattr(fno, "STEPS", steps)
        return fno.solved(start)

    coarse, fine, exact = at(400), at(800), at(6400)
    assert np.abs(exact.mean(1) - start.mean(1)).max() < 1e-12
    assert 12 < np.abs(coarse - exact).max() / np.abs(fine - exact).max() < 20


def test_it_learns_and_runs_on_twice_the_points(tiny: Path) -> None:
    run = torch_run(fno.model())
    stays = fno.evaluate(lambda x: [x[:, :1]])["relative_l2"]
    here, there = fno.evaluate(run)["relative_l2"], fno.evaluate(run, 64)["relative_l2"]
    assert here < 0.3 * stays
    assert there == pytest.approx(here, rel=0.05)


def test_both_engines_give_what_torch_gives(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    module, inputs = fno.FNO().eval(), fno.example_inputs()
    (wanted,) = torch_run(module)(inputs[0].numpy())
    for name, session in both_engines(module, inputs, tmp_path):
        assert relative_error(session.run(inputs[0].numpy())[0], wanted) < 1e-5, name


def test_the_picture_has_every_run(tiny: Path) -> None:
    figure = fno.picture({"float": lambda x: [x[:, :1]]})
    assert [line.get_label() for line in figure.axes[0].lines] == ["time 0", "time 1", "float"]
