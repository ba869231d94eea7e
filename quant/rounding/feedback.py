"""Rounding with feedback: what a code misses, the codes after it make up for.

One recursion (YAQA, Tseng et al. 2025, section 4): with a Hessian over the inputs alone it is LDLQ
(Chee et al. 2023), which on reversed columns is GPTQ (Frantar et al. 2022); with none it is
nearest rounding. Vectors of p columns are chosen jointly, in the exact metric of their block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from smalti.quant.rounding.lookup import Lookup

_VECTORS = 64  # rounded between two products with all columns before


@dataclass(frozen=True)
class Factor:
    """H = L D L^T, L unit lower triangular in blocks of p, D block diagonal.

    lower: L (n, n); blocks: D (n / p, p, p).
    """

    lower: Tensor
    blocks: Tensor

    @classmethod
    def of(cls, hessian: Tensor, p: int = 1) -> Factor:
        """Factor a positive definite matrix (n, n), n a multiple of p."""
        lower = torch.linalg.cholesky(hessian.to(torch.float64))
        corners = _diagonal_blocks(lower, p)
        inverse = torch.block_diag(*torch.linalg.inv(corners))
        return cls(lower @ inverse, corners @ corners.mT)


def _diagonal_blocks(matrix: Tensor, p: int) -> Tensor:
    """(n, n) -> (n / p, p, p)."""
    n = len(matrix) // p
    at = torch.arange(n)
    return matrix.reshape(n, p, n, p)[at, :, at, :]


def round_feedback(
    weight: Tensor, lookup: Lookup, inputs: Factor | None, outputs: Factor | None
) -> Tensor:
    """Choose codes (m, n / p) for a weight (m, n), from the last row and column to the first.

    inputs: factor of the Hessian over the n columns, in blocks of p; outputs: over the m rows;
    None stands for the identity.
    """
    state = _Recursion(weight, lookup, inputs, outputs)
    vectors = state.codes.shape[1]
    for stop in range(vectors, 0, -_VECTORS):
        state.run(max(0, stop - _VECTORS), stop)
    return state.codes.flip(0)


def _schedule(rows: int, start: int, stop: int, coupled: bool) -> Iterator[tuple[slice, slice]]:
    """Entries that do not wait for each other: rows and vectors, in the order of rounding.

    Without a factor over the outputs, all rows of a vector; with one, diagonals.
    """
    if not coupled:
        for v in range(stop - 1, start - 1, -1):
            yield slice(0, rows), slice(v, v + 1)
        return
    for t in range(rows + stop - start - 1):
        first, last = max(0, t - (stop - start) + 1), min(rows, t + 1)
        v = stop - 1 - t + first
        yield slice(first, last), slice(v, v + last - first)


class _Recursion:
    """target = W + (L_O^T E L_I - E), for the errors E = W - W' of all entries before.

    Rows are held in the order of rounding, last one first; a block of vectors takes what the
    columns after it add in one product.
    """

    def __init__(
        self, weight: Tensor, lookup: Lookup, inputs: Factor | None, outputs: Factor | None
    ) -> None:
        m, p = len(weight), lookup.values.shape[1]
        self.coupled, dtype = outputs is not None, weight.dtype
        self.weight = weight.flip(0).unflatten(1, (-1, p))  # (m, vectors, p)
        n = self.weight.shape[1] * p
        self.target = self.weight.clone()
        self.codes = torch.zeros(m, n // p, dtype=torch.int64)
        self.chooser = _Chooser(lookup, inputs.blocks.to(dtype) if inputs else None)
        # (n, n): what the error in one column adds to the columns before it.
        self.add = _strict(inputs.lower).to(dtype) if inputs else torch.zeros(n, n, dtype=dtype)
        # (m, m): what the error in earlier rows adds to a row.
        rows = _strict(outputs.lower).T.flip(0, 1) if outputs else torch.zeros(m, m)
        self.from_rows = rows.to(dtype).contiguous()
        self.errors = torch.zeros(n // p, p, m, dtype=dtype)  # E
        self.mixed = torch.zeros_like(self.weight)  # L_O^T E

    def run(self, start: int, stop: int) -> None:
        """Round the vectors from start to stop; the ones after stop are done."""
        p = self.weight.shape[2]
        add = self.add[start * p : stop * p]
        within = add[:, start * p : stop * p].T.unflatten(0, (-1, p)).contiguous()
        for rows, vectors in _schedule(len(self.weight), start, stop, self.coupled):
            self._step(rows, vectors, start, stop, within)
        mixed = self.mixed[:, start:stop].flatten(1)
        self.target[:, :start] += (mixed @ add[:, : start * p]).unflatten(1, (-1, p))

    def _step(self, rows: slice, vectors: slice, start: int, stop: int, within: Tensor) -> None:
        """Round entries (rows[k], vectors[k]); `within` (vectors, p, columns of the block)."""
        r = torch.arange(rows.start, rows.stop)
        v = torch.arange(vectors.start, vectors.stop)
        after = self.mixed[rows, start:stop].flatten(1)  # (k, columns of the block)
        own = within[vectors.start - start : vectors.stop - start]
        target = self.target[r, v] + (own @ after.unsqueeze(-1)).squeeze(-1)
        above = torch.zeros_like(target)
        if self.coupled:
            errors = self.errors[vectors, :, : rows.stop]  # (k, p, rows before)
            above = (errors @ self.from_rows[rows, : rows.stop].unsqueeze(-1)).squeeze(-1)
        codes, found = self.chooser(target + above, len(self.weight) - 1 - r, v)
        error = self.weight[r, v] - found
        self.codes[r, v] = codes
        self.errors[v, :, r] = error
        self.mixed[r, v] = error + above


class _Chooser:
    """Nearest values of a lookup, in the metric of each vector's own block of the Hessian."""

    def __init__(self, lookup: Lookup, blocks: Tensor | None) -> None:
        values = lookup.values
        self.lookup, self.blocks = lookup, blocks
        self.squares = (values.unsqueeze(2) * values.unsqueeze(1)).flatten(1).T  # (p * p, n)

    def __call__(self, target: Tensor, rows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Targets (k, p) of entries (rows, vectors) -> codes (k,) and their values (k, p)."""
        values, p = self.lookup.values.to(target.dtype), target.shape[1]
        group = vectors * p // self.lookup.width
        scale = self.lookup.scales.to(target.dtype)[rows, group].unsqueeze(1)
        offset = torch.zeros_like(scale)
        if self.lookup.offsets is not None:
            offset = self.lookup.offsets.to(target.dtype)[rows, group].unsqueeze(1)
        z = (target - offset) / torch.where(scale == 0, 1, scale)  # rows of zeros have scale 0
        metric = torch.eye(p).to(z) if self.blocks is None else self.blocks[vectors]
        score = 2 * (z.unsqueeze(1) @ metric).squeeze(1) @ values.T
        score -= metric.flatten(-2) @ self.squares.to(z)
        codes = score.argmax(1)
        return codes, values[codes] * scale + offset


def _strict(lower: Tensor) -> Tensor:
    """Without the unit diagonal, blocks and all: (n, n)."""
    return lower - torch.eye(len(lower), dtype=lower.dtype)
