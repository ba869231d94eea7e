"""Calls of IRFFT: lengths of all kinds of factors, and shapes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Case, normal

_LENGTHS = (*range(1, 18), 25, 49, 60, 96, 97, 121, 128, 210, 336, 720, 1009, 1024, 4096)
_SHAPES = ((5,), (1, 5), (2, 3, 5), (300, 5), (2, 1, 2, 1, 2, 1, 5))


def cases() -> Iterator[Case]:
    """Yield lengths, then shapes of spectra of length 8."""
    rng = np.random.default_rng(7)
    for n in _LENGTHS:
        yield Case(f"n{n}", {"x": normal(rng, 3, n // 2 + 1, 2)}, {"n": n})
    for shape in _SHAPES:
        name = "shape" + "x".join(map(str, shape))
        yield Case(name, {"x": normal(rng, *shape, 2)}, {"n": 8})
