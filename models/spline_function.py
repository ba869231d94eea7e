"""A physical law from a table: the Lennard-Jones potential and its force, as one spline.

Energy in units of epsilon, distances of sigma. The force is -dE/dr of the very spline that gives
the energy, so that energy is conserved by what the file computes. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.models.about import About
from smalti.quant.auto_knots import auto_knots

ABOUT = About(
    papers=(
        "Jones 1924, On the Determination of Molecular Fields, Proceedings of the Royal Society A "
        "106, pages 441 and 463",
    ),
    metric="energy_error",
    rises=False,
    data="the Lennard-Jones potential itself, between 64 atoms",
    unit="epsilon",
)

NEAREST, CUTOFF = 0.9, 3.0
TOLERANCE = 2e-6
ATOMS = 64
_WAY = np.float32(2.0**-6)  # long enough that float32 energies differ by more than they are rounded

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def energy(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """E(r) = 4 (r^-12 - r^-6), with r (any shape)."""
    sixth: NDArray[np.float64] = distance**-6.0
    return 4.0 * (sixth - 1.0) * sixth


def force(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """-dE/dr = 24 (2 r^-12 - r^-6) / r."""
    sixth: NDArray[np.float64] = distance**-6.0
    return 24.0 * (2.0 * sixth - 1.0) * sixth / distance


class PairPotential(nn.Module):
    """Distances (any shape) -> energies and forces of the same shape."""

    def __init__(self, degree: int = 5) -> None:
        super().__init__()
        self.energy = auto_knots(energy, NEAREST, CUTOFF, TOLERANCE, degree=degree)
        self.slope = self.energy.derivative()

    def forward(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Beyond the cutoff both stay: energy at its last value, force at 0."""
        return self.energy(distance), self.slope(distance) * -1.0


def model() -> nn.Module:
    """Return the potential, tabulated now, in a second."""
    return PairPotential().eval()


def distances() -> NDArray[np.float32]:
    """Return (ATOMS, ATOMS) distances between atoms of a disturbed square lattice, near ones 1."""
    side = int(ATOMS**0.5)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 1.12
    places = grid + np.random.default_rng(0).uniform(-0.06, 0.06, grid.shape)
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 2.0 * np.eye(ATOMS)
    near: NDArray[np.float32] = np.clip(apart, NEAREST, CUTOFF).astype(np.float32)
    return near


def example_inputs() -> tuple[Tensor]:
    """Return the distances between all atoms."""
    return (torch.from_numpy(distances()),)


def evaluate(run: Run) -> dict[str, float]:
    """Return the largest errors of energies, and of forces and mean forces relative to 1 + |force|.

    The mean force over a short way is what the energy falls by, which is how the two belong
    together: its integral is Gauss and Legendre's, with three points.
    """
    r = distances()
    energies, forces = run(r)
    exact = r.astype(np.float64)
    wanted = force(exact)
    return {
        "energy_error": float(np.abs(energies - energy(exact)).max()),
        "force_error": float((np.abs(forces - wanted) / (1 + np.abs(wanted))).max()),
        "work_error": float(_work_errors(run, np.clip(r, NEAREST + _WAY, CUTOFF - _WAY)).max()),
    }


def _work_errors(run: Run, middle: NDArray[np.float32]) -> NDArray[np.float64]:
    (ahead, _), (behind, _) = run(middle + _WAY), run(middle - _WAY)
    fall = (behind.astype(np.float64) - ahead) / (2 * _WAY)
    parts = zip(*np.polynomial.legendre.leggauss(3), strict=True)
    mean = sum(
        0.5 * weight * run(middle + np.float32(node) * _WAY)[1].astype(np.float64)
        for node, weight in parts
    )
    error: NDArray[np.float64] = np.abs(mean - fall) / (1 + np.abs(mean))
    return error
