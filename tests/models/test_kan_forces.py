"""The potential of splines, at a tiny size: forces are slopes, in both engines."""

from pathlib import Path

import numpy as np
import pytest
import torch
from engines import both_engines, torch_run

from smalti.export.verify import relative_error
from smalti.models import kan_forces


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    sizes = {"PAIR_INTERVALS": 16, "TRAINED": 24, "TESTED": 4, "ROUNDS": 30}
    for name, value in sizes.items():
        monkeypatch.setattr(kan_forces, name, value)
    return tmp_path


def test_the_law_is_conservative_and_pushes_nothing_away() -> None:
    places = kan_forces.clusters(2, 5).astype(np.float64)
    _, force = kan_forces.law(places)
    assert np.abs(force.sum(1)).max() < 1e-10
    way = np.random.default_rng(0).standard_normal(places.shape) * 1e-5
    fall = kan_forces.law(places - way)[0] - kan_forces.law(places + way)[0]
    assert fall / 2 == pytest.approx((force * way).sum((1, 2)), rel=1e-5)


def bumpy() -> kan_forces.Potential:
    """Any potential whose densities are in range."""
    rng = np.random.default_rng(0)
    pair, dense, embed = kan_forces.untrained()
    parts = pair + rng.normal(size=pair.shape), dense, rng.normal(size=embed.shape)
    return kan_forces.Potential(*parts).eval()


def test_forces_are_the_gradient_that_torch_finds() -> None:
    module, places = bumpy(), torch.from_numpy(kan_forces.clusters(3, 2)).requires_grad_()
    energy, force = module(places)
    (slope,) = torch.autograd.grad(energy.sum(), places)
    assert relative_error(force.detach().numpy(), -slope.numpy()) < 1e-5


def test_what_is_fitted_is_what_is_exported() -> None:
    places = kan_forces.clusters(3, 2).astype(np.float64)
    module = bumpy()
    rng = np.random.default_rng(0)
    pair, dense, embed = kan_forces.untrained()
    errors = kan_forces.residuals(places)(
        pair + rng.normal(size=pair.shape), dense, rng.normal(size=embed.shape)
    )
    force = errors[3:].reshape(places.shape) + kan_forces.law(places)[1]
    found = module(torch.from_numpy(places.astype(np.float32)))[1]
    assert relative_error(found.detach().numpy(), force) < 1e-4


def test_it_learns(tiny: Path) -> None:
    untrained = kan_forces.Potential(*kan_forces.untrained())
    before = kan_forces.evaluate(torch_run(untrained))
    after = kan_forces.evaluate(torch_run(kan_forces.model()))
    assert after["force_error"] < 0.3 * before["force_error"]


def test_both_engines_give_forces_that_are_slopes(tiny: Path, tmp_path: Path) -> None:
    module, inputs = bumpy(), kan_forces.example_inputs()
    places = inputs[0].numpy()
    wanted = torch_run(module)(places)
    for name, session in both_engines(module, inputs, tmp_path):
        for found, want in zip(session.run(places), wanted, strict=True):
            assert relative_error(found, want) < 1e-5, name
        assert kan_forces.slope_error(session.run, places) < 1e-3, name
