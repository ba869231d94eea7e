"""Calls of SplineLinear: every degree, widths that fill no vector, inputs beyond both ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Case, normal

# rows, inputs, outputs, intervals
_SIZES = ((5, 3, 4, 8), (1, 9, 131, 3), (70, 17, 24, 5), (3, 8, 1, 1))
_SHAPES = ((6,), (2, 3, 6), (0, 6), (1, 2, 1, 3, 6))


def _case(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    outputs: int,
    intervals: int,
    degree: int,
    base: bool = True,
    half: bool = False,
) -> Case:
    """A third of x lies beyond [-1, 1.5]."""
    inputs = shape[-1]
    coefficients = normal(rng, inputs, intervals + degree, outputs)
    given = {
        "x": rng.uniform(-2, 2.5, shape).astype(np.float32),
        "coefficients": coefficients.astype(np.float16) if half else coefficients,
    }
    if base:
        given["base"] = normal(rng, inputs, outputs)
    kind = f"{'-base' if base else ''}{'-half' if half else ''}"
    name = f"{'x'.join(map(str, shape))}-{outputs}-g{intervals}-k{degree}{kind}"
    return Case(name, given, {"degree": degree, "low": -1.0, "high": 1.5})


def cases() -> Iterator[Case]:
    """Yield degrees of some sizes, then shapes, then half-precision coefficients."""
    rng = np.random.default_rng(11)
    for rows, inputs, outputs, intervals in _SIZES:
        for degree in range(4):
            yield _case(rng, (rows, inputs), outputs, intervals, degree, base=degree % 2 == 1)
    for shape in _SHAPES:
        yield _case(rng, shape, 11, 8, 3)
    yield _case(rng, (300, 4), 70, 4, 2)
    yield _case(rng, (7, 6), 77, 8, 3, half=True)
    yield _case(rng, (40, 3), 16, 2, 1, base=False, half=True)
