"""Inputs on which an operator's implementations have to agree; each op's `cases.py` lists its own.

For tests and benchmarks. Packed weights here hold random codes, scales and grids: what a kernel
computes does not depend on where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smalti.runtime.format import GRIDS, GROUPS, Format
from smalti.runtime.packing import Header, pack_codes, pack_scales

Array = NDArray[Any]

FORMATS = tuple(Format(p, n, group) for p, n in GRIDS for group in GROUPS)


@dataclass(frozen=True)
class Case:
    """One call: arrays by input name (absent ones left out) and attributes by name."""

    name: str
    inputs: dict[str, Array]
    attributes: dict[str, Any]


def normal(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Return standard normal float32 values."""
    return rng.standard_normal(shape, np.float32)


def random_grid(rng: np.random.Generator, form: Format) -> NDArray[np.int8]:
    """Return int8 entries (n, p), symmetric where kernels require it, with the extreme values."""
    if form.p == 2 and form.n > 16:
        quadrant = rng.integers(0, 128, (form.n // 4, 2))
        quadrant[0] = 127
        corners = [(1, 1), (-1, 1), (1, -1), (-1, -1)]
        return np.concatenate([quadrant * corner for corner in corners]).astype(np.int8)
    grid = rng.integers(-127, 128, (form.n, form.p)).astype(np.int8)
    grid[0], grid[-1] = -127, 127
    return grid


def random_packed(rng: np.random.Generator, header: Header) -> dict[str, Array]:
    """Return the inputs codes, scales and grid of random packed weights."""
    f = header.format
    codes = rng.integers(0, f.n, (header.rows, ceil(header.columns / f.p))).astype(np.uint8)
    scales = rng.uniform(0.25, 1, (header.rows, f.groups(header.columns))).astype(np.float16)
    return {
        "codes": pack_codes(codes, header),
        "scales": pack_scales(scales, header),
        "grid": random_grid(rng, f),
    }
