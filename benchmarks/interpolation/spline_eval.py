"""Splines: SplineEval beside SciPy, Torch eager and ONNX Runtime's standard operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx.parser
import torch
from scipy.interpolate import PPoly
from torch import Tensor

from benchmarks.subject import OURS, Goal, Run, Subject, compiled, node, session

_POINTS, _INTERVALS, _CUBIC = 1 << 18, 256, 4
Array = Any


def _spline(intervals: int, channels: int) -> tuple[Array, Array]:
    """Knots (intervals + 1), not uniform, and coefficients (channels, intervals, 4)."""
    rng = np.random.default_rng(0)
    knots = np.cumsum(rng.uniform(0.5, 1.5, intervals + 1)).astype(np.float32)
    return knots, rng.standard_normal((channels, intervals, _CUBIC), np.float32)


def _horner(terms: Tensor, t: Tensor) -> Tensor:
    y = terms[..., 3]
    for power in (2, 1, 0):
        y = y * t + terms[..., power]
    return y


def _scipy(x: Array, coefficients: Array, knots: Array) -> Run:
    spline = PPoly(coefficients[0].T[::-1].astype(np.float64), knots.astype(np.float64))
    wide = x.astype(np.float64)
    return lambda: spline(wide)


def _ours(x: Array, coefficients: Array, knots: Array | None, start: float, threads: int) -> Run:
    attributes = {"extrapolate": 0, "derivative": 0, "start": start, "step": 1.0}
    return node("SplineEval", [x, coefficients, knots], attributes, threads)


def _standard(x: Array, coefficients: Array, threads: int) -> Run:
    """ONNX Runtime's own operators, on knots 0, 1 and so on: one Gather a power."""
    graph = f"""<ir_version: 10, opset_import: ["" : 21]>
        spline (float[N] x, float[M] c0, float[M] c1, float[M] c2, float[M] c3) => (float[N] y) {{
            zero = Constant<value_float = 0.0>()
            last = Constant<value_float = {_INTERVALS - 1.0}>()
            low = Clip(x, zero)
            down = Floor(low)
            left = Min(down, last)
            t = Sub(low, left)
            i = Cast<to = 6>(left)
            a3 = Gather(c3, i)
            b3 = Mul(a3, t)
            a2 = Gather(c2, i)
            s2 = Add(b3, a2)
            b2 = Mul(s2, t)
            a1 = Gather(c1, i)
            s1 = Add(b2, a1)
            b1 = Mul(s1, t)
            a0 = Gather(c0, i)
            y = Add(b1, a0)
        }}"""
    columns = {f"c{i}": np.ascontiguousarray(coefficients[0, :, i]) for i in range(_CUBIC)}
    return session(onnx.parser.parse_model(graph), {"x": x, **columns}, threads)


def _uniform(threads: int) -> Mapping[str, Run]:
    rng = np.random.default_rng(1)
    x = rng.uniform(0, _INTERVALS, _POINTS).astype(np.float32)
    _, coefficients = _spline(_INTERVALS, 1)
    points, table = torch.from_numpy(x), torch.from_numpy(coefficients[0])

    def eager() -> Tensor:
        low = points.clamp(0, _INTERVALS)
        interval = low.floor().clamp(max=_INTERVALS - 1)
        return _horner(table[interval.long()], low - interval)

    return {
        OURS: _ours(x, coefficients, None, 0.0, threads),
        "torch": eager,
        **compiled("torch", eager),
        "scipy": _scipy(x, coefficients, np.arange(_INTERVALS + 1.0)),
        "onnxruntime": _standard(x, coefficients, threads),
    }


def _among_knots(threads: int) -> Mapping[str, Run]:
    rng = np.random.default_rng(2)
    knots, coefficients = _spline(_INTERVALS, 1)
    x = rng.uniform(knots[0], knots[-1], _POINTS).astype(np.float32)
    points, table, edges = map(torch.from_numpy, (x, coefficients[0], knots))

    def eager() -> Tensor:
        low = points.clamp(knots[0], knots[-1])
        interval = torch.bucketize(low, edges[1:-1], right=True)
        return _horner(table[interval], low - edges[interval])

    return {
        OURS: _ours(x, coefficients, knots[None], 0.0, threads),
        "torch": eager,
        **compiled("torch", eager),
        "scipy": _scipy(x, coefficients, knots),
    }


def _channels(threads: int) -> Mapping[str, Run]:
    """One spline of 16 intervals for each of 64 channels."""
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 16, (_POINTS // 64, 64)).astype(np.float32)
    _, coefficients = _spline(16, 64)
    points, table = torch.from_numpy(x), torch.from_numpy(coefficients).flatten(0, 1)
    first = 16 * torch.arange(64)

    def eager() -> Tensor:
        low = points.clamp(0, 16)
        interval = low.floor().clamp(max=15)
        return _horner(table[interval.long() + first], low - interval)

    return {
        OURS: _ours(x, coefficients, None, 0.0, threads),
        "torch": eager,
        **compiled("torch", eager),
    }


_BAR = (Goal(10.0, ("torch",)),)
SUBJECTS = (
    Subject("cubic spline, uniform knots", _uniform, (*_BAR, Goal(10.0, ("onnxruntime",)))),
    Subject("cubic spline, any knots", _among_knots, _BAR),
    Subject("cubic splines of 64 channels", _channels, _BAR),
)
