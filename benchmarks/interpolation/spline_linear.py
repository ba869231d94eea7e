"""Layers of Kolmogorov-Arnold networks: SplineLinear beside dense basis values and a product."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu

from benchmarks.interpolation.subject import OURS, Goal, Run, Subject, node
from smalti.runtime.ops.spline_linear.op import spline_linear

_INTERVALS, _DEGREE = 8, 3
_ATTRIBUTES = {"degree": _DEGREE, "low": -1.0, "high": 1.0}


def _recursion(x: Tensor, coefficients: Tensor, base: Tensor) -> Tensor:
    """de Boor's recursion, as Torch layers usually have it. coefficients: (in * basis, out)."""
    h = 2 / _INTERVALS
    knots = torch.arange(-_DEGREE, _INTERVALS + _DEGREE + 1) * h - 1
    x_ = x.unsqueeze(-1)
    basis = ((x_ >= knots[:-1]) & (x_ < knots[1:])).to(x.dtype)
    for k in range(1, _DEGREE + 1):
        rising = (x_ - knots[: -k - 1]) / (k * h) * basis[..., :-1]
        basis = rising + (knots[k + 1 :] - x_) / (k * h) * basis[..., 1:]
    return basis.flatten(1) @ coefficients + silu(x) @ base


def _subject(rows: int, inputs: int, outputs: int) -> Subject:
    def runs(threads: int) -> Mapping[str, Run]:
        rng = np.random.default_rng(0)
        x = rng.uniform(-1, 1, (rows, inputs)).astype(np.float32)
        c = rng.standard_normal((inputs, _INTERVALS + _DEGREE, outputs), np.float32)
        base = rng.standard_normal((inputs, outputs), np.float32)
        given = [torch.from_numpy(a) for a in (x, c, base)]
        flat = given[1].flatten(0, 1)

        def recursion() -> Tensor:
            with torch.inference_mode():
                return _recursion(given[0], flat, given[2])

        def reference() -> Tensor:
            with torch.inference_mode():
                return spline_linear.reference(*given, **_ATTRIBUTES)

        return {
            OURS: node("SplineLinear", [x, c, base], _ATTRIBUTES, threads),
            f"{OURS} float16": node(
                "SplineLinear", [x, c.astype(np.float16), base], _ATTRIBUTES, threads
            ),
            "torch": recursion,
            "torch closed form": reference,
        }

    return Subject(f"KAN layer {rows} x {inputs} to {outputs}", runs, (Goal(10.0, ("torch",)),))


SUBJECTS = (_subject(1024, 64, 64), _subject(64, 256, 256), _subject(1, 256, 256))
