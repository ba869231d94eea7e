"""Functions of one number as splines of a given error, with knots where the function needs them.

After AutoKnots (Vitenti, de Simoni, Penna-Lima and Barroso 2024): intervals that miss the tolerance
are halved until none is left. Each has a polynomial through the Chebyshev-Lobatto points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smalti.runtime.errors import SmaltiError
from smalti.runtime.ops.spline_eval.module import Spline

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

MAX_INTERVALS = 1 << 14
_FIRST = 8  # intervals to begin with: what is narrower than a 300th of the range may be missed
_CHECKED = 37  # points an interval; odd, so that they are not those of halves
_ROOM = 0.8  # of the tolerance for the polynomials: float32 has the rest
_WORTH = 2.0  # how many times as many uniform intervals are as good as adaptive ones


class ToleranceError(SmaltiError, ValueError):
    """A function that no spline table follows closely enough; the message says how close."""

    exit_code = 2


def auto_knots(
    function: Function,
    low: float,
    high: float,
    tolerance: float,
    *,
    degree: int = 3,
    extrapolate: str = "clamp",
) -> Spline:
    """Return a spline within `tolerance` of a function on [low, high], float32 rounding included.

    function: float64 arrays to arrays. Knots are uniform unless adaptive ones are fewer than half
    as many. The error is checked at 37 points of every interval, as the operator computes.

    Raises:
        ToleranceError: the tolerance cannot be reached, or the function is not finite.
        ValueError: an empty range, a tolerance that is not above 0, a degree not in 1 to 5.
    """
    if not (low < high and tolerance > 0 and 1 <= degree <= 5):
        raise ValueError(
            f"low {low}, high {high}, tolerance {tolerance}, degree {degree}; pass low < high, a "
            "tolerance above 0 and a degree from 1 to 5"
        )
    knots = _halved(function, low, high, _ROOM * tolerance, degree)
    knots = _evened(function, knots, _ROOM * tolerance, degree)
    table, _ = _fit(function, knots, degree)
    spline = Spline(table, knots, extrapolate=extrapolate)
    error = spline_error(spline, function, knots)
    if error > tolerance:
        raise ToleranceError(
            f"{_name(function)}: float32 leaves an error of {error:.2g}, for a tolerance of "
            f"{tolerance:.2g}; pass a greater one, or a narrower range"
        )
    return spline


def spline_error(spline: Spline, function: Function, knots: Array) -> float:
    """Return the largest error at 37 points of every interval, of float32 as it runs."""
    points = np.unique(_points(knots, np.linspace(0, 1, _CHECKED)).astype(np.float32))
    points = points[(points >= knots[0]) & (points <= knots[-1])]
    with torch.no_grad():
        found = spline(torch.from_numpy(points)).numpy()
    return float(np.abs(found - _values(function, points.astype(np.float64))).max())


def tabulate_(
    module: nn.Module,
    ranges: Mapping[str, tuple[float, float]],
    tolerance: float,
    *,
    degree: int = 3,
) -> dict[str, Spline]:
    """Replace activations, by name, by splines on the ranges of their inputs; lines beyond.

    Raises:
        AttributeError: there is no such module.
        ToleranceError: one of them is no function that a spline can follow.
    """
    splines = {}
    for name, (low, high) in ranges.items():
        activation = module.get_submodule(name)
        splines[name] = auto_knots(
            _Scalar(name, activation), low, high, tolerance, degree=degree, extrapolate="linear"
        )
    for name, spline in splines.items():
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, spline)
    return splines


class _Scalar:
    """A module as a function of arrays."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.__name__, self.module = name, module

    def __call__(self, x: Array) -> Array:
        with torch.no_grad():
            return np.asarray(self.module(torch.from_numpy(x)).numpy())


def _name(function: Function) -> str:
    return str(getattr(function, "__name__", function))


def _values(function: Function, x: Array) -> Array:
    y = np.asarray(function(x), np.float64)
    if not np.isfinite(y).all():
        where = x[~np.isfinite(y)].flat[0]
        raise ToleranceError(f"{_name(function)}: not finite at {where:.6g}; narrow the range")
    return y


def _points(knots: Array, shares: Array) -> Array:
    """(M, len(shares)) points at these shares of every interval."""
    return knots[:-1, None] + np.diff(knots)[:, None] * shares


def _fit(function: Function, knots: Array, degree: int) -> tuple[Array, Array]:
    """Coefficients (M, degree + 1), and the largest error (M,) at the points that are checked."""
    nodes = 0.5 - 0.5 * np.cos(np.pi * np.arange(degree + 1) / degree)
    solve = np.linalg.inv(np.vander(nodes, increasing=True)).T
    shares = _values(function, _points(knots, nodes)) @ solve  # in shares of the interval
    checked = np.linspace(0, 1, _CHECKED)
    wanted = _values(function, _points(knots, checked))
    errors = np.abs(shares @ np.vander(checked, degree + 1, increasing=True).T - wanted).max(1)
    return shares / np.diff(knots)[:, None] ** np.arange(degree + 1), errors


def _halved(function: Function, low: float, high: float, tolerance: float, degree: int) -> Array:
    """Knots so that every interval keeps the tolerance."""
    knots = np.linspace(low, high, _FIRST + 1)
    finest = 2.0**-21 * max(abs(low), abs(high))  # a few floats have to lie in an interval
    while True:
        _, errors = _fit(function, knots, degree)
        missed = errors > tolerance
        if not missed.any():
            return knots
        narrow = bool((np.diff(knots)[missed] < 2 * finest).any())
        if narrow or len(knots) + missed.sum() > MAX_INTERVALS:
            worst = int(errors.argmax())
            raise ToleranceError(
                f"{_name(function)}: an error of {errors[worst]:.2g} near {knots[worst]:.6g} with "
                f"{len(knots) - 1} intervals, for a tolerance of {tolerance / _ROOM:.2g}; if it "
                "jumps there, tabulate both sides apart, else pass a greater tolerance"
            )
        middles = 0.5 * (knots[:-1] + knots[1:])[missed]
        knots = np.sort(np.concatenate([knots, middles]))


def _evened(function: Function, knots: Array, tolerance: float, degree: int) -> Array:
    """Uniform knots if they are about as few, as few as will do; else the given ones."""

    def uniform(count: int) -> Array:
        return np.linspace(knots[0], knots[-1], count + 1)

    def good(count: int) -> bool:
        return bool((_fit(function, uniform(count), degree)[1] <= tolerance).all())

    most = min(ceil(_WORTH * (len(knots) - 1)), MAX_INTERVALS)
    if not good(most):
        return knots
    least = 0  # too few; the search takes errors for monotonous, and keeps what was seen to be good
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if good(middle) else (middle, most)
    return uniform(most)
