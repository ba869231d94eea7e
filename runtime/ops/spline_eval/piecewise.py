"""Splines of all kinds as piecewise polynomials, in float64.

Knots are (M + 1,), coefficients (..., M, degree + 1), lowest power first, in distances from the
left knot of each interval. Formulas: de Boor, A Practical Guide to Splines, 1978.
"""

from __future__ import annotations

from math import comb, factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def linear(knots: Array, values: Array) -> Array:
    """Lines through values (..., M + 1) at the knots."""
    return np.stack([values[..., :-1], np.diff(values) / np.diff(knots)], -1)


def hermite(knots: Array, values: Array, slopes: Array) -> Array:
    """Cubics with values and slopes (..., M + 1) at the knots."""
    h = np.diff(knots)
    secant = np.diff(values) / h
    left, right = slopes[..., :-1], slopes[..., 1:]
    square, cube = (3 * secant - 2 * left - right) / h, (left + right - 2 * secant) / h**2
    return np.stack([values[..., :-1], left, square, cube], -1)


def smooth_slopes(knots: Array, values: Array, ends: tuple[float, float] | None) -> Array:
    """Slopes (..., M + 1) that make `hermite` twice differentiable; chapter 4.

    ends: the outer slopes; None: no curvature there ("natural").
    """
    h = np.diff(knots)
    secant = np.diff(values) / h
    diagonal = np.concatenate([[2.0], 2 * (h[:-1] + h[1:]), [2.0]])
    above, below = np.concatenate([[1.0], h[:-1]]), np.concatenate([h[1:], [1.0]])
    inner = 3 * (h[1:] * secant[..., :-1] + h[:-1] * secant[..., 1:])
    right = np.concatenate([3 * secant[..., :1], inner, 3 * secant[..., -1:]], -1)
    if ends is not None:
        diagonal[[0, -1]] = 1.0
        above[0] = below[-1] = 0.0
        right[..., 0], right[..., -1] = ends
    return _solve_tridiagonal(below, diagonal, above, right)


def _solve_tridiagonal(below: Array, diagonal: Array, above: Array, right: Array) -> Array:
    """By elimination without pivots, for dominant diagonals; of each row of `right`."""
    diagonal, x = diagonal.copy(), right.copy()
    for i in range(1, len(diagonal)):
        factor = below[i - 1] / diagonal[i - 1]
        diagonal[i] -= factor * above[i - 1]
        x[..., i] -= factor * x[..., i - 1]
    x[..., -1] /= diagonal[-1]
    for i in range(len(diagonal) - 2, -1, -1):
        x[..., i] = (x[..., i] - above[i] * x[..., i + 1]) / diagonal[i]
    return x


def bezier(knots: Array, control: Array) -> Array:
    """From control points (..., M, degree + 1): Bernstein's polynomials on every interval."""
    h, degree = np.diff(knots), control.shape[-1] - 1
    powers = [
        comb(degree, r) * np.diff(control, r)[..., 0] / h**r  # forward differences
        for r in range(degree + 1)
    ]
    return np.stack(powers, -1)


def b_spline(control: Array, degree: int, step: float) -> Array:
    """From control points (..., M + degree) of B-splines on knots `step` apart."""
    basis = np.array([[1.0]])  # (control point, power of the position in the interval)
    for k in range(1, degree + 1):
        wider = np.zeros((k + 1, k + 1))
        for i, p in enumerate(basis):  # each goes into two splines, rising in one, falling in one
            wider[i] += (np.append(p, 0) * (i + 1) - np.append(0, p)) / k
            wider[i + 1] += (np.append(p, 0) * (k - 1 - i) + np.append(0, p)) / k
        basis = wider
    windows = np.lib.stride_tricks.sliding_window_view(control, degree + 1, -1)
    return np.asarray(windows @ basis / step ** np.arange(degree + 1))


def from_scipy(spline: Any) -> tuple[Array, Array]:
    """Knots and coefficients of anything of scipy.interpolate that is one curve or several.

    That is, of what has derivatives, `spline(x, nu)`, and knots, in `x` or, as BSpline, in `t`.
    """
    if hasattr(spline, "t"):
        degree = int(spline.k)
        knots = np.unique(spline.t[degree : len(spline.t) - degree])
    else:
        degree, knots = spline.c.shape[0] - 1, np.asarray(spline.x, np.float64)
    powers = [spline(knots[:-1], r) / factorial(r) for r in range(degree + 1)]
    return knots, np.moveaxis(np.stack(powers, -1), 0, -2)
