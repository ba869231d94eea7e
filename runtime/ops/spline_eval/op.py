"""SplineEval: piecewise polynomials, of one table or one for every channel."""

from typing import Any

import torch
from torch import Tensor

from smalti.runtime.ops.torch_op import torch_op

CLAMP, LINEAR, ZERO, PERIODIC = range(4)
MAX_DEGREE = 5
_LARGEST = 3.4028234663852886e38  # of float32: infinite points lie there when lines are continued


def _differentiated(coefficients: Tensor, times: int) -> Tensor:
    """Coefficients of derivatives; one of zero remains of a constant."""
    for _ in range(times):
        powers = torch.arange(coefficients.shape[-1], dtype=coefficients.dtype)
        coefficients = (coefficients * powers)[..., min(1, coefficients.shape[-1] - 1) :]
    return coefficients


def _horner(coefficients: Tensor, t: Tensor) -> Tensor:
    y = coefficients[..., -1]
    for power in range(coefficients.shape[-1] - 2, -1, -1):
        y = y * t + coefficients[..., power]
    return y


def _rows(table: Tensor, row: Tensor) -> Tensor:
    """Pick rows of a (N, K) table by an index tensor of any shape: (..., K)."""
    return table.index_select(0, row.reshape(-1)).reshape(*row.shape, table.shape[1])


def _channels(table: Tensor, size: int) -> Tensor:
    """Where each channel begins in a table of `size` rows a channel."""
    return torch.arange(table.shape[0]) * size


def _locate(
    x: Tensor, knots: Tensor | None, intervals: int, low: Tensor, step: float
) -> tuple[Tensor, Tensor]:
    """Intervals of points between the outer knots, and distances from their left knots."""
    if knots is None:
        p = (x - low) / step
        interval = p.detach().floor().clamp(0, intervals - 1)
        return interval.to(torch.int64), (p - interval) * step
    interval = (x.detach().unsqueeze(-1) >= knots[:, 1:-1]).to(torch.int64).sum(-1)
    left = _rows(knots.reshape(-1, 1), interval + _channels(knots, knots.shape[1]))
    return interval, x - left.squeeze(-1)


@torch_op("SplineEval", lambda a: tuple(a["x"].shape))
def spline_eval(
    x: Tensor,
    coefficients: Tensor,
    knots: Tensor | None,
    extrapolate: int,
    derivative: int,
    start: float,
    step: float,
) -> Tensor:
    """y = sum over r of c[j, r] (x - t[j])^r, where knots t[j] <= x < t[j + 1]; see de Boor 1978.

    x: (..., C), any shape if all channels share their splines. coefficients: (C or 1, M, degree
    + 1), lowest power first, of degree up to 5. knots: (C or 1, M + 1), not decreasing; without
    them they are start + j step. The last interval is closed. derivative: 0, 1 or 2.

    extrapolate: beyond the outer knots, 0 the value there, 1 the line that touches there, 2 zero,
    3 the spline again and again (an outer right knot counts as the left one; infinite points give
    NaN). Derivatives are those of the function continued so, from within at the outer knots. NaN
    gives NaN. Within 2e-7 of the sum of |terms|, for a few periods.
    """
    intervals = coefficients.shape[1]
    if knots is None:
        low = x.new_full((1,), start)
        high = low + intervals * step
    else:
        low, high = knots[:, 0], knots[:, -1]
    moved = x
    if extrapolate == PERIODIC:
        moved = x - ((x - low) / (high - low)).detach().floor() * (high - low)
    lost = moved.isnan()
    inside = torch.where(lost, low, moved.clamp(low, high))
    interval, t = _locate(inside, knots, intervals, low, step)
    table = _differentiated(coefficients, derivative)
    terms = _rows(table.reshape(-1, table.shape[-1]), interval + _channels(table, intervals))
    y = _horner(terms, t)
    beyond = (moved < low) | (moved > high)
    if extrapolate == LINEAR and derivative == 0:
        far = moved.clamp(-_LARGEST, _LARGEST) - inside
        y = y + torch.where(beyond, far * _horner(_differentiated(terms, 1), t), 0)
    elif extrapolate == ZERO or (extrapolate != PERIODIC and derivative > extrapolate):
        # a constant has no slope, a line no curvature
        y = y.masked_fill(beyond, 0)
    return y.masked_fill(lost, float("nan")).reshape(x.shape)
