"""Calls of HadamardTransform: every kind of block, and signs that span words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.ops.case import Case, normal

_BLOCKS = (1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 112, 128, 192, 224, 256)
_LARGE = (320, 384, 448, 512, 640, 768, 896, 1024)
_SHAPES = ((0, 64), (64,), (1, 64), (2, 3, 192), (3, 0, 64), (300, 64), (20, 4992))


def cases() -> Iterator[Case]:
    """Yield blocks by themselves and repeated, then shapes, then seeds."""
    rng = np.random.default_rng(1)
    for block in _BLOCKS + _LARGE:
        for repeats in (1, 3):
            x = normal(rng, 3, block * repeats)
            yield Case(f"block{block}x{repeats}", {"x": x}, {"block": block, "seed": block})
    for shape in _SHAPES:
        name = "shape" + "x".join(map(str, shape))
        yield Case(name, {"x": normal(rng, *shape)}, {"block": 64, "seed": 7})
    for seed in (0, 1, 2**32, 2**63 - 1):
        yield Case(f"seed{seed}", {"x": normal(rng, 2, 300)}, {"block": 12, "seed": seed})
