"""Calls of RationalQuadraticSpline: both ways, numbers of bins, shapes, points outside."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Case, normal

_BINS = (2, 3, 7, 8, 9, 16, 21, 64)
_SHAPES = ((), (1,), (0, 3), (2, 3, 5), (1200,))


def _case(
    rng: np.random.Generator, shape: tuple[int, ...], bins: int, inverse: bool, bound: float = 3.0
) -> Case:
    """A quarter of the points lie beyond the bounds; no bin is so narrow that rounding shows."""
    given = {
        "x": rng.uniform(-1.33 * bound, 1.33 * bound, shape).astype(np.float32),
        "widths": 0.5 * normal(rng, *shape, bins),
        "heights": 0.5 * normal(rng, *shape, bins),
        "derivatives": normal(rng, *shape, bins - 1),
    }
    attributes = {
        "inverse": inverse,
        "tail_bound": bound,
        "min_bin_width": 1e-2,
        "min_bin_height": 1e-2,
        "min_derivative": 1e-2,
    }
    way = "inverse" if inverse else "forward"
    return Case(f"{'x'.join(map(str, shape))}-k{bins}-b{bound:g}-{way}", given, attributes)


def cases() -> Iterator[Case]:
    """Yield numbers of bins, then shapes, then another bound."""
    rng = np.random.default_rng(13)
    for inverse in (False, True):
        for bins in _BINS:
            yield _case(rng, (19,), bins, inverse)
    for i, shape in enumerate(_SHAPES):
        yield _case(rng, shape, 8, i % 2 == 1)
    yield _case(rng, (37,), 10, False, 0.25)
    yield _case(rng, (37,), 10, True, 100.0)
