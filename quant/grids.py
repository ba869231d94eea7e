"""Grids for Gaussian weights: Lloyd's algorithm, stored as int8 tables in `grids/`.

Distortion tables: HIGGS (Malinovskii et al. 2024), section 4; quantization of the normal law by
Pages and Printems (2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Entries of a grid for N(0, 1): `entries` (n, p) int8, in units of `step`."""

    entries: NDArray[np.int8]
    step: float

    @property
    def values(self) -> NDArray[np.float32]:
        """The entries as numbers, (n, p)."""
        return self.entries.astype(np.float32) * np.float32(self.step)


def is_quadrant_symmetric(p: int, n: int) -> bool:
    """Whether grids of this size are mirrored from their positive quadrant.

    That costs 2 to 3 % of distortion, and lets a kernel look 16 or 64 magnitudes up and apply two
    sign bits instead of searching 64 or 256 entries.
    """
    return p == 2 and n >= 64


@cache
def load_grid(name: str) -> Grid:
    """Return the stored grid of a format, by its `grid_name`."""
    table = resources.files("smalti.quant").joinpath("tables", f"{name}.txt")
    with table.open() as lines:
        header = lines.readline()
        entries = np.loadtxt(lines, dtype=np.int8, ndmin=2)
    return Grid(entries, float(header.removeprefix("# step ")))


def nearest(vectors: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Index of the nearest of `values` (n, p) for each of `vectors` (m, p)."""
    offset = 0.5 * (values**2).sum(1)
    codes = np.empty(len(vectors), np.uint8)
    for start in range(0, len(vectors), 65536):
        part = slice(start, start + 65536)
        codes[part] = np.argmax(vectors[part] @ values.T - offset, axis=1)
    return codes
