"""What codes mean."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lookup:
    """Code c in group g of row r stands for `scales[r, g] * values[c] + offsets[r, g]`.

    values: (n, p) float32; scales, offsets: (rows, groups); width: columns that share a scale, a
    multiple of p.
    """

    values: Tensor
    scales: Tensor
    offsets: Tensor | None
    width: int

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (rows, vectors) -> weights (rows, vectors * p)."""
        found = self.values[codes.to(torch.int64)].flatten(1)
        found = found * self.spread(self.scales, found.shape[1])
        return found if self.offsets is None else found + self.spread(self.offsets, found.shape[1])

    def spread(self, per_group: Tensor, columns: int) -> Tensor:
        """(rows, groups) -> (rows, columns)."""
        return per_group.repeat_interleave(self.width, dim=1)[:, :columns]
