"""The Lennard-Jones recipe: energies and forces of the law, on both engines."""

import numpy as np
import pytest
import torch

from smalti.export import export_onnx, export_tflite
from smalti.models import spline_function as recipe
from smalti.runtime import Session


@pytest.fixture(scope="module")
def module():
    return recipe.model()


def check(run):
    found = recipe.evaluate(run)
    assert found["energy_error"] <= recipe.TOLERANCE
    assert found["force_error"] <= 1e-4
    assert found["work_error"] <= 1e-4


def torch_run(module):
    def run(*arrays):
        with torch.inference_mode():
            return [y.numpy() for y in module(*map(torch.from_numpy, arrays))]

    return run


def test_the_force_is_the_slope_of_the_energy(module):
    check(torch_run(module))
    r = torch.linspace(recipe.NEAREST, recipe.CUTOFF, 500)[1:-1].requires_grad_()
    energies, forces = module(r)
    (slope,) = torch.autograd.grad(energies.sum(), r)
    assert (forces + slope).abs().max() <= 1e-6 * slope.abs().max()


@pytest.mark.parametrize("export", [export_onnx, export_tflite])
def test_both_engines_have_the_law(export, module, tmp_path):
    path = tmp_path / ("m.onnx" if export is export_onnx else "m.tflite")
    export(module, recipe.example_inputs(), path)
    session = Session(path, threads=2)
    check(session.run)
    for found, wanted in zip(
        session.run(recipe.distances()), torch_run(module)(recipe.distances()), strict=True
    ):
        assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


def test_energy_is_conserved_by_the_forces(module):
    """A particle that bounces off another: velocity Verlet, a thousand steps."""
    run = torch_run(module)
    r, v, h, energies = np.float64(1.5), -0.5, 2e-3, []
    pull = float(run(np.float32([r]))[1][0])
    for _ in range(1000):
        v += 0.5 * h * pull
        r += h * v
        potential, forces = (float(y[0]) for y in run(np.float32([r])))
        pull = forces
        v += 0.5 * h * pull
        energies.append(potential + 0.5 * v * v)
    assert np.ptp(energies) <= 1e-3
