"""Calls of RFFT: lengths of all kinds of factors, shapes, and few modes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Case, normal

_LENGTHS = (1, 2, 3, 4, 5, 6, 7, 9, 14, 15, 49, 60, 96, 122, 127, 336, 720, 1009, 1202, 20000)
_SHAPES = ((8,), (4, 8), (2, 3, 8), (301, 8))


def cases() -> Iterator[Case]:
    """Yield lengths with all of their bins, shapes, then some of the bins."""
    rng = np.random.default_rng(8)
    for n in _LENGTHS:
        yield Case(f"n{n}", {"x": normal(rng, 3, n)}, {"modes": n // 2 + 1})
    for shape in _SHAPES:
        name = "shape" + "x".join(map(str, shape))
        yield Case(name, {"x": normal(rng, *shape)}, {"modes": 5})
    for n, modes in ((96, 1), (96, 30), (45, 7)):
        yield Case(f"{modes}of{n}", {"x": normal(rng, 5, n)}, {"modes": modes})
