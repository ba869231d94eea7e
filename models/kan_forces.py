"""Energies and forces of copper atoms by a Kolmogorov-Arnold network, whose forces are its slopes.

"Kolmogorov-Arnold networks in molecular dynamics" (Nagai, Okumura 2024) puts splines where
potentials have neural networks. Here E = sum_i F(sum_j f(r_ij)) + 1/2 sum_ij phi(r_ij): two layers
of edges, each a cubic B-spline, learned from energies and forces of clusters of 13 atoms. The
clusters' own law is Sutton and Chen's (1990) for copper, made here in double precision; nothing of
it is told to the network. In the file every edge is a `SplineEval` and every force comes from the
derivative of the very splines that give the energy. The weights stay in CACHE; delete that file to
train again, for a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.models.about import About
from smalti.models.trained import trained
from smalti.runtime.ops.spline_eval.module import Spline

ABOUT = About(
    papers=("Nagai, Okumura 2024, Kolmogorov-Arnold networks in molecular dynamics",),
    metric="force_error",
    rises=False,
    data="clusters of 13 copper atoms, Sutton and Chen's potential, made here",
)

CACHE = "kan_forces.safetensors"  # under SMALTI_CACHE, else in build/
ATOMS = 13
NEAREST, CUTOFF, DENSEST = 0.5, 2.2, 4.0  # in units of the lattice constant; of the sum of f
PAIR_INTERVALS, ATOM_INTERVALS = 32, 16  # of the splines of distances, of densities
TRAINED, TESTED = 128, 32  # clusters
ROUNDS = 100  # of least squares
UNIT = 100.0  # of energy, in Sutton and Chen's epsilon: numbers near 1 are learned best
_C = 39.432  # their constants for copper are c, n = 9 and m = 6
_FAR = 8.0  # beyond the cutoff: what an atom is from itself

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def law(places: Array) -> tuple[Array, Array]:
    """Return energies (N,) and forces (N, atoms, 3) of places (N, atoms, 3), in float64."""
    apart = places[:, :, None] - places[:, None]
    r = np.sqrt(np.square(apart).sum(-1) + np.eye(places.shape[1]) * _FAR**2)
    pair, dense = r**-9.0, r**-6.0
    for each in (pair, dense):
        each[:, range(places.shape[1]), range(places.shape[1])] = 0.0
    density = dense.sum(-1)
    energy = 0.5 * pair.sum((1, 2)) - _C * np.sqrt(density).sum(-1)
    slope = -0.5 * _C / np.sqrt(density)  # of -c sqrt(density)
    along = -9 * pair / r + (slope[:, :, None] + slope[:, None]) * (-6 * dense / r)
    return energy / UNIT, -(along[..., None] * apart / r[..., None]).sum(2) / UNIT


def clusters(count: int, seed: int) -> Array:
    """Return places (count, ATOMS, 3): an atom among twelve, stretched and shaken."""
    rng = np.random.default_rng(seed)
    corners = [(x, y, 0) for x in (-0.5, 0.5) for y in (-0.5, 0.5)]
    around = [np.roll(c, k) for k in range(3) for c in corners]
    lattice = np.array([(0, 0, 0), *around], np.float64)
    stretched = lattice * rng.uniform(0.95, 1.1, (count, 1, 1))
    return (stretched + rng.normal(0, 0.02, stretched.shape)).astype(np.float32)


class Potential(nn.Module):
    """Two layers of edges, from the B-splines' control points, and the derivatives of all."""

    itself: Tensor

    def __init__(self, pair: Array, dense: Array, embed: Array) -> None:
        super().__init__()
        self.register_buffer("itself", torch.eye(ATOMS) * _FAR**2)
        step = (CUTOFF - NEAREST) / PAIR_INTERVALS
        self.pair = Spline.b_spline(pair, 3, NEAREST, step)
        self.dense = Spline.b_spline(dense, 3, NEAREST, step)
        step = DENSEST / ATOM_INTERVALS
        self.embed = Spline.b_spline(embed, 3, 0.0, step, extrapolate="linear")
        slopes = [spline.derivative() for spline in (self.pair, self.dense, self.embed)]
        self.pair_slope, self.dense_slope, self.embed_slope = slopes

    def forward(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """places: (N, atoms, 3) -> energies (N,), forces (N, atoms, 3)."""
        apart = places[:, :, None] - places[:, None]
        r = (apart.square().sum(-1) + self.itself).sqrt()
        near = (r < CUTOFF).to(r.dtype)
        density = (near * self.dense(r)).sum(2)
        energy = 0.5 * (near * self.pair(r)).sum((1, 2)) + self.embed(density).sum(1)
        slope = self.embed_slope(density)
        both = slope[:, :, None] + slope[:, None]
        along = near * (self.pair_slope(r) + both * self.dense_slope(r)) / r
        return energy, -(along[..., None] * apart).sum(2)


def untrained() -> tuple[Array, Array, Array]:
    """Return control points: no energy, and densities that fall with the distance."""
    pairs, atoms = PAIR_INTERVALS + 3, ATOM_INTERVALS + 3
    return np.zeros(pairs), np.linspace(0.3, 0.0, pairs), np.linspace(0.0, -0.1, atoms)


def model() -> Potential:
    """Return the trained potential, from the cache or trained now."""
    return trained(CACHE, Potential(*untrained()), train)


def train(module: Potential) -> None:
    """Fit energies and forces of TRAINED clusters: least squares of all control points."""
    from scipy.optimize import least_squares

    start = untrained()
    ends = np.cumsum([len(part) for part in start])[:2]
    errors = residuals(clusters(TRAINED, 1).astype(np.float64))

    def of_vector(values: Array) -> Array:
        return errors(*np.split(values, ends))

    best = least_squares(of_vector, np.concatenate(start), max_nfev=ROUNDS).x
    module.load_state_dict(Potential(*np.split(best, ends)).state_dict())


def residuals(places: Array) -> Callable[[Array, Array, Array], Array]:
    """Return a function of control points: errors of all forces, and of energies an atom.

    Distances stay, so that the edges of pairs are products with what their B-splines are there.
    """
    from scipy.interpolate import BSpline

    energy, force = law(places)
    apart = places[:, :, None] - places[:, None]
    r = np.sqrt(np.square(apart).sum(-1) + np.eye(ATOMS) * _FAR**2)
    knots = NEAREST + (CUTOFF - NEAREST) / PAIR_INTERVALS * np.arange(-3, PAIR_INTERVALS + 4)
    basis = BSpline(knots, np.eye(PAIR_INTERVALS + 3), 3)
    inside = np.where(r < CUTOFF, r, CUTOFF)
    value = basis(inside) * (r < CUTOFF)[..., None]
    slope = basis.derivative()(inside) * ((r < CUTOFF) / r)[..., None]
    value = value.sum(2)
    atoms = DENSEST / ATOM_INTERVALS * np.arange(-3, ATOM_INTERVALS + 4)

    def errors(pair: Array, dense: Array, embed: Array) -> Array:
        density, curve = value @ dense, BSpline(atoms, embed, 3)
        found = 0.5 * (value @ pair).sum(1) + curve(density).sum(1)
        bend = curve.derivative()(density)
        along = slope @ pair + (bend[:, :, None] + bend[:, None]) * (slope @ dense)
        wrong = -(along[..., None] * apart).sum(2) - force
        return np.concatenate([(found - energy) / ATOMS**0.5, wrong.ravel()])

    return errors


def example_inputs() -> tuple[Tensor]:
    """Return clusters that training never sees (TESTED, ATOMS, 3)."""
    return (torch.from_numpy(clusters(TESTED, 0)),)


def evaluate(run: Run) -> dict[str, float]:
    """Return relative errors of forces and of energies, and how far forces are from -dE/dx.

    force_error: root mean square over that of the forces; energy_error: mean, an atom, in UNIT.
    """
    places = example_inputs()[0].numpy()
    energy, force = law(places.astype(np.float64))
    found_energy, found_force = run(places)
    wrong = np.square(found_force - force).mean() / np.square(force).mean()
    return {
        "force_error": float(np.sqrt(wrong)),
        "energy_error": float(np.abs(found_energy - energy).mean() / ATOMS),
        "slope_error": slope_error(run, places),
    }


def slope_error(run: Run, places: Array, way: float = 2.0**-7) -> float:
    """Return the largest |force + dE/dx| over the largest force, along a direction a cluster.

    dE/dx is a central difference of float32 energies, so `way` is long, and Richardson's
    extrapolation takes its first error off.
    """
    ways = np.random.default_rng(3).standard_normal(places.shape).astype(np.float32)
    ways /= np.sqrt(np.square(ways).sum((1, 2), keepdims=True))

    def fall(length: float) -> Array:
        ahead, behind = (run(places + sign * np.float32(length) * ways)[0] for sign in (1, -1))
        return (behind.astype(np.float64) - ahead) / (2 * length)

    exact = (4 * fall(way / 2) - fall(way)) / 3
    force = run(places)[1].astype(np.float64)
    return float(np.abs((force * ways).sum((1, 2)) - exact).max() / np.abs(force).max())
