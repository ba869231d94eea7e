"""Calls of SplineEval: degrees, ways to go on beyond the knots, derivatives, channels, odd sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Array, Case, normal

Shape = tuple[int, ...]


def _knots(rng: np.random.Generator, channels: int, intervals: int) -> Array:
    """Return knots about half a unit apart."""
    steps = rng.uniform(0.25, 0.75, (channels, intervals + 1))
    return (np.cumsum(steps, 1) - 0.25 * intervals).astype(np.float32)


def _case(
    rng: np.random.Generator,
    x: Shape,
    table: Shape,
    knots: int,
    extrapolate: int,
    derivative: int,
) -> Case:
    """A fifth of the points lie beyond the knots. knots: of how many channels; 0: uniform."""
    channels, intervals, count = table
    attributes = {"extrapolate": extrapolate, "derivative": derivative, "start": -0.25 * intervals}
    inputs = {"x": rng.uniform(-0.32, 0.32, x).astype(np.float32) * np.float32(intervals)}
    inputs["coefficients"] = normal(rng, *table)
    if knots:
        inputs["knots"] = _knots(rng, knots, intervals)
    kind = f"knots{knots}" if knots else "uniform"
    name = (
        f"{'x'.join(map(str, x))}-{channels}x{intervals}x{count}-{kind}-{extrapolate}-{derivative}"
    )
    return Case(name, inputs, {**attributes, "step": 0.5})


def cases() -> Iterator[Case]:
    """Yield every degree, way and derivative, then the ways channels can share, then odd sizes."""
    rng = np.random.default_rng(7)
    for i in range(12):
        count, extrapolate, derivative = i % 6 + 1, i % 4, i % 3
        yield _case(rng, (3, 33), (1, 7, count), i // 6, extrapolate, derivative)
    for knots in (0, 1, 4):
        yield _case(rng, (5, 4), (4, 9, 4), knots, knots % 4, 0)
        yield _case(rng, (11, 4), (1, 9, 3), knots, 1 + knots % 4 // 2, 1)
    yield _case(rng, (3, 5, 19), (19, 40, 4), 19, 3, 0)
    yield _case(rng, (1000,), (1, 133, 4), 1, 1, 0)
    yield _case(rng, (), (1, 1, 4), 0, 0, 0)
    yield _case(rng, (7,), (1, 1, 2), 1, 1, 0)
    yield _case(rng, (0, 5), (5, 3, 4), 0, 0, 0)
    yield _case(rng, (2, 0), (0, 3, 4), 0, 0, 0)
