"""Neural spline flows: RationalQuadraticSpline, both ways, beside Torch.

"torch" is the operator's own reference, which has no masks and half of the gathers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from benchmarks.subject import OURS, Goal, Run, Subject, compiled, node
from smalti.runtime.ops.rational_quadratic_spline.op import rational_quadratic_spline

_POINTS, _BINS = 65536, 8
_BOUND, _LEAST = 3.0, 1e-2
_PUBLISHED = "torch as published"


def _bins(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return knots and sizes, step by step as flow libraries compute them."""
    shares = _LEAST + (1 - _LEAST * _BINS) * torch.softmax(raw, -1)
    knots = 2 * _BOUND * pad(torch.cumsum(shares, -1), (1, 0)) - _BOUND
    knots[..., 0], knots[..., -1] = -_BOUND, _BOUND
    return knots, knots[..., 1:] - knots[..., :-1]


def _published(x: Tensor, raw: tuple[Tensor, ...], inverse: bool) -> tuple[Tensor, Tensor]:
    """What flow libraries do: points in the middle are picked by a mask, and put back."""
    y, log_slope = torch.zeros_like(x), torch.zeros_like(x)
    inside = (x >= -_BOUND) & (x <= _BOUND)
    y[~inside] = x[~inside]
    picked = [t[inside] for t in raw]
    y[inside], log_slope[inside] = _curves(x[inside], picked, inverse)
    return y, log_slope


def _curves(x: Tensor, raw: list[Tensor], inverse: bool) -> tuple[Tensor, Tensor]:
    """Durkan et al. 2019, equations 4 to 8, each written out."""
    widths, heights, slopes = raw
    edge = math.log(math.expm1(1 - _LEAST))  # a slope of 1 after the softplus
    (left, width), (low, height) = _bins(widths), _bins(heights)
    slope = _LEAST + softplus(pad(slopes, (1, 1), value=edge))
    delta = height / width
    places = (low if inverse else left).clone()
    places[..., -1] += 1e-6
    bins = torch.sum(x[..., None] >= places, -1, keepdim=True) - 1
    at = [t.gather(-1, bins)[..., 0] for t in (left, width, low, height, delta)]
    x0, w, y0, h, s = at
    d0, d1 = slope.gather(-1, bins)[..., 0], slope[..., 1:].gather(-1, bins)[..., 0]
    if inverse:
        a = (x - y0) * (d0 + d1 - 2 * s) + h * (s - d0)
        b = h * d0 - (x - y0) * (d0 + d1 - 2 * s)
        c = -s * (x - y0)
        share = 2 * c / (-b - torch.sqrt((b * b - 4 * a * c).clamp_min(0)))
    else:
        share = (x - x0) / w
    both = share * (1 - share)
    below = s + (d0 + d1 - 2 * s) * both
    y = share * w + x0 if inverse else y0 + h * (s * share**2 + d0 * both) / below
    above = s**2 * (d1 * share**2 + 2 * s * both + d0 * (1 - share) ** 2)
    log_slope = torch.log(above) - 2 * torch.log(below)
    return y, -log_slope if inverse else log_slope


def _subject(name: str, inverse: bool) -> Subject:
    attributes = {
        "inverse": inverse,
        "tail_bound": _BOUND,
        "min_bin_width": _LEAST,
        "min_bin_height": _LEAST,
        "min_derivative": _LEAST,
    }

    def runs(threads: int) -> Mapping[str, Run]:
        rng = np.random.default_rng(0)
        x = rng.uniform(-3.3, 3.3, _POINTS).astype(np.float32)
        sizes = (_BINS, _BINS, _BINS - 1)
        given = [x, *(rng.standard_normal((_POINTS, k), np.float32) for k in sizes)]
        tensors = [torch.from_numpy(a) for a in given]

        def eager() -> Tensor:
            return rational_quadratic_spline.reference(*tensors, **attributes)

        def published() -> tuple[Tensor, Tensor]:
            return _published(tensors[0], tuple(tensors[1:]), inverse)

        ours = {**attributes, "inverse": int(inverse)}
        return {
            OURS: node("RationalQuadraticSpline", given, ours, threads),
            "torch": eager,
            _PUBLISHED: published,
            **compiled("torch", eager),
        }

    goals = (Goal(20.0, (_PUBLISHED,)), Goal(20.0, ("torch",)))
    return Subject(f"rational-quadratic spline, {name}", runs, goals)


SUBJECTS = (_subject("forward", False), _subject("inverse", True))
