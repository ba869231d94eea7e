"""Layers of Kolmogorov-Arnold networks: SplineLinear beside the ways that Torch has.

Published layers find all basis values by Cox and de Boor's recursion and multiply matrices. A
closed form of the basis is quicker; quicker still are sums of only those rows of coefficients that
matter, which Torch has for embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, silu

from benchmarks.subject import OURS, Goal, Run, Subject, compiled, node
from smalti.runtime.ops.spline_linear.op import spline_linear

_INTERVALS, _DEGREE = 8, 3
_GOALS = Goal(10.0, ("torch Cox-de Boor",)), Goal(10.0, ("torch",))
Layer = Callable[[Tensor, Tensor, Tensor], Tensor]
_ATTRIBUTES = {"degree": _DEGREE, "low": -1.0, "high": 1.0}


def _recursion(x: Tensor, coefficients: Tensor, base: Tensor) -> Tensor:
    """Cox and de Boor's recursion. coefficients: (in * basis, out)."""
    h = 2 / _INTERVALS
    knots = torch.arange(-_DEGREE, _INTERVALS + _DEGREE + 1) * h - 1
    x_ = x.unsqueeze(-1)
    basis = ((x_ >= knots[:-1]) & (x_ < knots[1:])).to(x.dtype)
    for k in range(1, _DEGREE + 1):
        rising = (x_ - knots[: -k - 1]) / (k * h) * basis[..., :-1]
        basis = rising + (knots[k + 1 :] - x_) / (k * h) * basis[..., 1:]
    return basis.flatten(1) @ coefficients + silu(x) @ base


def _few_rows(x: Tensor, coefficients: Tensor, base: Tensor) -> Tensor:
    """Cubics as sums of four rows of coefficients (in * basis, out) an input."""
    basis = _INTERVALS + _DEGREE
    u = (x + 1) * (_INTERVALS / 2)
    cell = u.floor().clamp(0, _INTERVALS - 1)
    t = u - cell
    rest = 1 - t
    cubes = rest * rest * rest, t * t * t
    middle = 4 - 6 * t * t + 3 * cubes[1], 4 - 6 * rest * rest + 3 * cubes[0]
    weights = torch.stack([cubes[0], *middle, cubes[1]], -1).flatten(1) / 6
    first = cell.long() + basis * torch.arange(x.shape[1])
    rows = (first.unsqueeze(-1) + torch.arange(_DEGREE + 1)).flatten(1)
    y = embedding_bag(rows, coefficients, mode="sum", per_sample_weights=weights)
    return y + silu(x) @ base


def _subject(rows: int, inputs: int, outputs: int) -> Subject:
    def runs(threads: int) -> Mapping[str, Run]:
        rng = np.random.default_rng(0)
        x = rng.uniform(-1, 1, (rows, inputs)).astype(np.float32)
        c = rng.standard_normal((inputs, _INTERVALS + _DEGREE, outputs), np.float32)
        base = rng.standard_normal((inputs, outputs), np.float32)
        given = [torch.from_numpy(a) for a in (x, c, base)]
        flat = given[1].flatten(0, 1)

        def eager(layer: Layer) -> Run:
            return lambda: layer(given[0], flat, given[2])

        def closed_form(points: Tensor, _: Tensor, base_: Tensor) -> Tensor:
            return spline_linear.reference(points, given[1], base_, **_ATTRIBUTES)

        return {
            OURS: node("SplineLinear", [x, c, base], _ATTRIBUTES, threads),
            f"{OURS} float16": node(
                "SplineLinear", [x, c.astype(np.float16), base], _ATTRIBUTES, threads
            ),
            "torch Cox-de Boor": eager(_recursion),
            "torch closed form": eager(closed_form),
            "torch embedding_bag": eager(_few_rows),
            **compiled("torch Cox-de Boor", eager(_recursion)),
            **compiled("torch closed form", eager(closed_form)),
        }

    return Subject(f"KAN layer {rows} x {inputs} to {outputs}", runs, _GOALS)


SUBJECTS = (_subject(1024, 64, 64), _subject(64, 256, 256), _subject(1, 256, 256))
