"""What is timed: one product by one engine, with matrices that are in a cache or are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

RING_BYTES = 160_000_000  # several times any L3 that this is meant for

Run = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """x (batch, columns) times the transpose of a matrix (rows, columns).

    dram: a run goes through a ring of matrices of RING_BYTES, else it uses one matrix again.
    """

    rows: int
    columns: int
    batch: int = 1
    dram: bool = False

    @property
    def name(self) -> str:
        """Such as `1 x 4096 x 11008, DRAM`."""
        return f"{self.batch} x {self.columns} x {self.rows}, {'DRAM' if self.dram else 'hot'}"

    def copies(self, bits: float) -> int:
        """How many matrices of so many bits a weight a run multiplies with."""
        return ceil(8 * RING_BYTES / (bits * self.rows * self.columns)) if self.dram else 1

    def inputs(self, bits: float) -> list[NDArray[np.float32]]:
        """One x a copy, so that nothing is computed once for all."""
        rng = np.random.default_rng(0)
        shape = self.batch, self.columns
        return [rng.standard_normal(shape, np.float32) for _ in range(self.copies(bits))]


@dataclass(frozen=True)
class Candidate:
    """An engine's way: `bits` a weight with scales; `build` gives what one run of a ring is."""

    name: str
    bits: float
    build: Callable[[], Run]


Candidates = Callable[[Task, int], Iterator[Candidate]]
