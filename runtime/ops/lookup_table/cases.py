"""Calls of LookupTable: every byte, then odd sizes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Case


def cases() -> Iterator[Case]:
    """Yield all values in order, then random ones of several shapes."""
    rng = np.random.default_rng(11)

    def random(*shape: int) -> np.ndarray:
        return rng.integers(-128, 128, shape).astype(np.int8)

    yield Case("all", {"x": np.arange(-128, 128).astype(np.int8), "table": random(256)}, {})
    for shape in ((), (1,), (7, 3), (2, 5, 33), (0, 4), (300_001,)):
        name = "x".join(map(str, shape))
        yield Case(name, {"x": random(*shape), "table": random(256)}, {})
