"""Calls of ResizeCubic: up, down, both at once, and single pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Case, normal

_SIZES = (
    ((2, 3, 5, 7), (5, 7)),
    ((2, 3, 5, 7), (10, 14)),
    ((1, 2, 12, 9), (5, 4)),
    ((1, 2, 6, 11), (13, 3)),
    ((1, 1, 1, 1), (1, 1)),
    ((1, 3, 1, 1), (4, 5)),
    ((1, 3, 4, 5), (1, 1)),
    ((2, 1, 2, 3), (31, 129)),
    ((1, 5, 33, 41), (64, 96)),
    ((0, 3, 4, 4), (2, 2)),
)


def cases() -> Iterator[Case]:
    """Yield every pair of sizes, with and without aligned corners."""
    rng = np.random.default_rng(6)
    for shape, sizes in _SIZES:
        for align in (False, True):
            name = f"{'x'.join(map(str, shape))}-to-{sizes[0]}x{sizes[1]}"
            attributes = {"sizes": list(sizes), "align_corners": align}
            yield Case(
                f"{name}-{'align' if align else 'half'}", {"x": normal(rng, *shape)}, attributes
            )
