"""Computes the grids that `grids.py` loads: `python -m smalti.quant.lloyd FOLDER` writes them.

Deterministic: quadrature instead of samples up to two dimensions, SplitMix64 for the rest.
"""

from __future__ import annotations

import sys
from math import erf, pi, sqrt
from pathlib import Path

import numpy as np

from smalti.quant.grids import Grid, Points, is_quadrant_symmetric, nearest
from smalti.runtime.format import GRIDS
from smalti.runtime.rotation import split_mix_64

_RANGE = 6.0  # standard deviations that the quadrature covers
_CELLS = 192  # a half axis
_SAMPLES = 1 << 19
_START = {(2, 16): 5, (2, 64): 9, (2, 256): 3, (4, 256): 0}  # the best of a dozen seeds
_ITERATIONS = {(2, 16): 300, (2, 64): 500, (2, 256): 800, (4, 256): 120}


def uniform(seed: int, count: int) -> Points:
    """Return `count` numbers in (0, 1) from SplitMix64."""
    return ((split_mix_64(seed, count) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def normal(seed: int, shape: tuple[int, int]) -> Points:
    """Return standard normal numbers by Box and Muller."""
    count = shape[0] * shape[1]
    radius = np.sqrt(-2 * np.log(uniform(seed, count)))
    values: Points = radius * np.cos(2 * pi * uniform(seed + 1, count))
    return values.reshape(shape)


def _cdf(x: Points) -> Points:
    return np.array([0.5 * (1 + erf(v / sqrt(2))) for v in x])


def _pdf(x: Points) -> Points:
    density: Points = np.exp(-x * x / 2) / sqrt(2 * pi)
    return density


def _half_axis() -> tuple[Points, Points]:
    """Conditional means and masses of N(0, 1) in cells of (0, infinity)."""
    edges = np.linspace(0, _RANGE, _CELLS + 1)
    cdf, pdf = _cdf(edges), _pdf(edges)
    cdf[-1], pdf[-1] = 1, 0
    mass = np.diff(cdf)
    return -np.diff(pdf) / mass, mass


def _quadrature(quadrant: bool) -> tuple[Points, Points]:
    """Points (m, 2) and weights (m,) that stand for N(0, I), or for its positive quadrant."""
    means, mass = _half_axis()
    if not quadrant:
        means, mass = np.r_[-means[::-1], means], np.r_[mass[::-1], mass]
    x, y = np.meshgrid(means, means, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], 1), np.outer(mass, mass).ravel()


def lloyd(points: Points, weights: Points, start: Points, iterations: int) -> tuple[Points, float]:
    """Lloyd's algorithm: centroids (n, p) and their mean squared error over the points."""
    values, single = start.copy(), points.astype(np.float32)
    for _ in range(iterations):
        codes = nearest(single, values.astype(np.float32))
        mass = np.bincount(codes, weights, len(values))
        for k in range(points.shape[1]):
            moment = np.bincount(codes, weights * points[:, k], len(values))
            values[:, k] = np.where(mass > 0, moment / np.maximum(mass, 1e-30), values[:, k])
    errors = ((points - values[nearest(single, values.astype(np.float32))]) ** 2).sum(1)
    return values, float((errors * weights).sum() / weights.sum())


def _scalar(n: int) -> Points:
    """Lloyd-Max, exactly: centroids by the integral of the density between midpoints."""
    values = np.linspace(-2.5, 2.5, n)
    for _ in range(4000):
        edges = np.r_[-40.0, (values[1:] + values[:-1]) / 2, 40.0]
        values = -np.diff(_pdf(edges)) / np.diff(_cdf(edges))
    return values[:, None]


def _mirror(quadrant: Points) -> Points:
    """Sign bits above the index: first the sign of coordinate 0, then of coordinate 1."""
    corners = [(1, 1), (-1, 1), (1, -1), (-1, -1)]
    return np.concatenate([quadrant * corner for corner in corners])


def gaussian_grid(p: int, n: int, quadrant: bool) -> Points:
    """Return a grid (n, p) with small mean squared error on N(0, I)."""
    if p == 1:
        return _scalar(n)
    entries = n // 4 if quadrant else n
    points, weights = (
        _quadrature(quadrant) if p == 2 else (normal(1, (_SAMPLES, p)), np.ones(_SAMPLES))
    )
    start = normal(100 + 2 * _START[p, n], (entries, p)) * sqrt((p + 2) / p)
    best, _ = lloyd(points, weights, np.abs(start) if quadrant else start, _ITERATIONS[p, n])
    best = best[np.lexsort(best.T[::-1])]
    return _mirror(best) if quadrant else best


def to_int8(values: Points) -> Grid:
    """Round a grid to int8 entries, the largest one to 127."""
    step = float(np.abs(values).max()) / 127
    return Grid(np.rint(values / step).astype(np.int8), step)


def main() -> None:
    """Write every grid to the folder named by the first argument."""
    folder = Path(sys.argv[1])
    for p, n in GRIDS:
        grid = to_int8(gaussian_grid(p, n, is_quadrant_symmetric(p, n)))
        with (folder / f"vq-{p}x{n}.txt").open("w") as file:
            file.write(f"# step {grid.step!r}\n")
            np.savetxt(file, grid.entries, fmt="%d")


if __name__ == "__main__":
    main()
