"""Spline: a piecewise polynomial as a module, made from whatever describes one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from smalti.runtime.ops.spline_eval import piecewise
from smalti.runtime.ops.spline_eval.op import CLAMP, LINEAR, MAX_DEGREE, PERIODIC, ZERO, spline_eval

EXTRAPOLATE = {"clamp": CLAMP, "linear": LINEAR, "zero": ZERO, "periodic": PERIODIC}
_CLOSE = 2.0**-23, 2.0**-10  # of the largest knot, of a step: how far from uniform knots may be


class Spline(nn.Module):
    """y = S(x), element by element; one spline for all, or one for each of the last dimension.

    `coefficients` (C or 1, M, degree + 1) is a parameter; SplineEval says what it means. Knots that
    are as good as uniform are stored as two numbers, which is several times as fast.
    """

    knots: Tensor | None

    def __init__(
        self,
        coefficients: ArrayLike,
        knots: ArrayLike,
        *,
        extrapolate: str = "clamp",
        derivative: int = 0,
    ) -> None:
        """coefficients: (M, degree + 1) or (C, M, degree + 1), of degree up to 5; knots: (M + 1,).

        extrapolate: beyond the knots `clamp` to the last value, `linear`, `zero` or `periodic`.

        Raises:
            ValueError: sizes do not fit, knots do not ascend, or another word.
        """
        super().__init__()
        table, points = np.asarray(coefficients, np.float64), np.asarray(knots, np.float64)
        _check(table, points, extrapolate)
        self.coefficients = nn.Parameter(_float32(table.reshape(-1, *table.shape[-2:])))
        start, step, uniform = _uniform(points)
        self.start, self.step = start, step
        self.register_buffer("knots", None if uniform else _float32(points[None]))
        self.extrapolate, self.order = EXTRAPOLATE[extrapolate], derivative

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., C), or any shape where all share one spline. NaN gives NaN."""
        places = self.extrapolate, self.order, self.start, self.step
        return spline_eval.call(x, self.coefficients, self.knots, *places)

    @property
    def intervals(self) -> int:
        """How many there are."""
        return self.coefficients.shape[1]

    def derivative(self) -> Self:
        """Return S', which shares the coefficients; up to twice.

        Raises:
            ValueError: of S''.
        """
        if self.order == 2:
            raise ValueError("derivative: of the second one; the operator has two")
        other = object.__new__(type(self))
        nn.Module.__init__(other)
        other.coefficients, other.start, other.step = self.coefficients, self.start, self.step
        other.register_buffer("knots", self.knots)
        other.extrapolate, other.order = self.extrapolate, self.order + 1
        return other

    @classmethod
    def from_scipy(cls, spline: Any, **options: Any) -> Self:
        """From a PPoly, CubicSpline, PchipInterpolator, BPoly, BSpline and so on, of one variable.

        Its values may have one dimension: a spline for each channel. SciPy's own way to go on
        beyond the knots is not taken over: pass `extrapolate`.
        """
        knots, table = piecewise.from_scipy(spline)
        return cls(table, knots, **options)

    @classmethod
    def linear(cls, knots: ArrayLike, values: ArrayLike, **options: Any) -> Self:
        """Lines through values (M + 1) or (C, M + 1)."""
        points, heights = _float64(knots, values)
        return cls(piecewise.linear(points, heights), points, **options)

    @classmethod
    def hermite(
        cls, knots: ArrayLike, values: ArrayLike, slopes: ArrayLike, **options: Any
    ) -> Self:
        """Cubics with these values and slopes, (M + 1) or (C, M + 1)."""
        return cls(piecewise.hermite(*_float64(knots, values, slopes)), knots, **options)

    @classmethod
    def cubic(
        cls,
        knots: ArrayLike,
        values: ArrayLike,
        ends: tuple[float, float] | None = None,
        **options: Any,
    ) -> Self:
        """Twice differentiable cubics through values; outer slopes `ends`, else natural."""
        points, heights = _float64(knots, values)
        slopes = piecewise.smooth_slopes(points, heights, ends)
        return cls(piecewise.hermite(points, heights, slopes), points, **options)

    @classmethod
    def bezier(cls, knots: ArrayLike, control: ArrayLike, **options: Any) -> Self:
        """From control points (M, degree + 1) or (C, M, degree + 1) of each interval."""
        return cls(piecewise.bezier(*_float64(knots, control)), knots, **options)

    @classmethod
    def b_spline(
        cls, control: ArrayLike, degree: int, start: float, step: float, **options: Any
    ) -> Self:
        """From control points (M + degree) or (C, M + degree) of uniform B-splines."""
        (points,) = _float64(control)
        table = piecewise.b_spline(points, degree, step)
        return cls(table, start + step * np.arange(table.shape[-2] + 1), **options)


def _float64(*arrays: ArrayLike) -> Sequence[NDArray[np.float64]]:
    return [np.asarray(a, np.float64) for a in arrays]


def _float32(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _check(table: NDArray[np.float64], knots: NDArray[np.float64], extrapolate: str) -> None:
    if extrapolate not in EXTRAPOLATE:
        raise ValueError(f"extrapolate: {extrapolate!r}; pass {', '.join(EXTRAPOLATE)}")
    if table.ndim not in (2, 3) or not 1 <= table.shape[-1] <= MAX_DEGREE + 1:
        raise ValueError(
            f"coefficients: {table.shape}; pass (channels, intervals, degree + 1), of degree up to "
            f"{MAX_DEGREE}"
        )
    if knots.shape != (table.shape[-2] + 1,):
        raise ValueError(f"knots: {knots.shape}; pass {table.shape[-2] + 1}, in one dimension")
    if not (np.diff(knots) > 0).all():
        raise ValueError("knots: do not ascend; sort them, and leave out what is there twice")


def _uniform(knots: NDArray[np.float64]) -> tuple[float, float, bool]:
    """Start and step as the operator will have them, and whether they do for these knots."""
    count = len(knots) - 1
    start, step = np.float32(knots[0]), np.float32((knots[-1] - knots[0]) / count)
    same = start + np.arange(count + 1) * np.float64(step)
    close = min(_CLOSE[0] * np.abs(knots).max(), _CLOSE[1] * step)
    return float(start), float(step), bool((np.abs(same - knots) <= close).all())
