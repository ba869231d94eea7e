"""Calls of GridEncode: every interpolation in every dimension, then tables of every type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from smalti.runtime.ops.case import Array, Case, normal

_MODES = ("nearest", "linear", "smoothstep", "simplex")
# Points on this raster have positions without rounding: else float32 is off by 1e-7 of a grid.
_RASTER = 4096


def levels(*grids: tuple[tuple[int, ...], int]) -> Array:
    """Return the levels input of grids, one behind the other: vertices along the axes, rows."""
    first = np.cumsum([0, *(rows for _, rows in grids)])
    rows = [(*sizes, start, count) for (sizes, count), start in zip(grids, first, strict=False)]
    return np.array(rows, np.int64)


def _grids(dims: int) -> Array:
    """Dense with rows to spare; hashed to a power of two; hashed to another number."""
    small, large = (3, 4, 2, 3)[:dims], (9, 17, 5, 6)[:dims]
    if dims == 1:
        return levels((small, 3), (large, 4), ((33,), 7))
    return levels((small, int(np.prod(small)) + 3), (large, 32), ((129,) * dims, 37))


def _points(rng: np.random.Generator, count: int, dims: int) -> Array:
    """A few of them outside."""
    return rng.integers(-99, _RASTER + 99, (count, dims)).astype(np.float32) / _RASTER


def _attributes(features: int, mode: int, warp: int = 0, align: bool = True) -> dict[str, Any]:
    return {"features": features, "interpolation": mode, "warp": warp, "align_corners": align}


def _tables(rng: np.random.Generator, rows: int) -> Iterator[tuple[str, int, dict[str, Array]]]:
    scales = {"scales": rng.uniform(0.5, 2, 3).astype(np.float32)}
    for features in (1, 3, 16):
        yield f"f32x{features}", features, {"table": normal(rng, rows, features)}
    for features in (1, 2, 4, 15):
        half = normal(rng, rows, features).astype(np.float16)
        yield f"f16x{features}", features, {"table": half}
        codes = rng.integers(-128, 128, (rows, features)).astype(np.int8)
        yield f"i8x{features}", features, {"table": codes, **scales}
    for p, dtype in ((1, np.float32), (2, np.float16), (4, np.float32), (8, np.float16)):
        codes = rng.integers(0, 256, (rows, 2)).astype(np.uint8)
        codebook = normal(rng, 256, p).astype(dtype)
        yield f"vq{p}", 2 * p, {"table": codes, "codebook": codebook, **scales}


def cases() -> Iterator[Case]:
    """Yield modes by dimensions, warps, then types."""
    rng = np.random.default_rng(11)
    for dims in range(1, 5):
        grids = _grids(dims)
        values = normal(rng, int(grids[-1, -2:].sum()), 2)
        for mode, name in enumerate(_MODES):
            x = _points(rng, 133 if dims < 4 else 300, dims)
            given = {"x": x, "table": values, "levels": grids}
            yield Case(f"{name}-{dims}d", given, _attributes(2, mode, align=(mode + dims) % 2 == 0))
    for warp in (1, 2):
        x = rng.uniform(0.01, 0.99, (50, 2)).astype(np.float32)
        coarse = {"x": x, "table": normal(rng, 9, 1), "levels": levels(((3, 3), 9))}
        yield Case(f"warp{warp}", coarse, _attributes(1, 1, warp))
    grids = _grids(2)
    for name, features, table in _tables(rng, int(grids[-1, -2:].sum())):
        given = {"x": _points(rng, 21, 2), "levels": grids, **table}
        yield Case(name, given, _attributes(features, 1))
    empty = {"x": np.zeros((0, 3), np.float32), "levels": _grids(3)}
    rows = int(_grids(3)[-1, -2:].sum())
    yield Case("no-points", {**empty, "table": normal(rng, rows, 2)}, _attributes(2, 3))
