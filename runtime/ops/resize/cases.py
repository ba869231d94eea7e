"""Calls of Resize: up, down, both at once, single pixels, and every width of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from smalti.runtime.ops.case import Case, normal

Shape = tuple[int, ...]

_SIZES: tuple[tuple[Shape, Shape], ...] = (
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
_LAST: tuple[tuple[Shape, Shape], ...] = (
    ((2, 5, 7, 1), (10, 14)),
    ((1, 6, 11, 2), (13, 3)),
    ((2, 5, 7, 3), (9, 40)),
    ((1, 9, 12, 4), (4, 5)),
    ((1, 4, 5, 7), (6, 9)),
    ((1, 5, 4, 8), (10, 8)),
    ((2, 4, 6, 19), (5, 13)),
)


def cases() -> Iterator[Case]:
    """Yield images channels first, then last; modes and corners alternate."""
    rng = np.random.default_rng(6)
    for last, pairs in ((False, _SIZES), (True, _LAST)):
        for i, ((shape, sizes), mode) in enumerate(product(pairs, (0, 2))):
            align = i % 3 == 1
            attributes = {
                "sizes": list(sizes),
                "mode": mode,
                "align_corners": align,
                "channels_last": last,
            }
            name = f"{'x'.join(map(str, shape))}-to-{sizes[0]}x{sizes[1]}-{mode}"
            if last:
                name += "-last"
            yield Case(name, {"x": normal(rng, *shape)}, attributes)
