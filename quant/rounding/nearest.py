"""Nearest rounding: which code and which scale stand for each piece of a rotated weight.

HIGGS (Malinovskii et al. 2024), algorithm 1, with two free gains: a search over scales around the
root mean square, and the least-squares scale for the codes found.
"""

from __future__ import annotations

import torch
from torch import Tensor

from smalti.quant.grids import Grid, is_quadrant_symmetric
from smalti.quant.rounding.lookup import Lookup

_MULTIPLIERS = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15)
_CHUNK = 1 << 22  # distances held at once


def _nearest_entry(vectors: Tensor, values: Tensor) -> Tensor:
    """Index of the nearest of values (n, p) for each of vectors (m, p)."""
    offset = 0.5 * values.square().sum(1)
    size = max(1, _CHUNK // len(values))
    parts = [(part @ values.T - offset).argmax(1) for part in vectors.split(size)]
    return torch.cat(parts) if parts else vectors.new_zeros(0, dtype=torch.int64)


def nearest_codes(vectors: Tensor, grid: Grid) -> Tensor:
    """Nearest grid entries: vectors (m, p) of unit variance -> codes (m,) int64."""
    values = torch.from_numpy(grid.values)
    n, p = values.shape
    if p == 1:
        middles = (values[1:, 0] + values[:-1, 0]) / 2
        return torch.bucketize(vectors[:, 0].contiguous(), middles)
    if not is_quadrant_symmetric(p, n):
        return _nearest_entry(vectors, values)
    negative = (vectors < 0).to(torch.int64)
    quadrant = _nearest_entry(vectors.abs(), values[: n // 4])
    return quadrant + n // 4 * negative[:, 0] + n // 2 * negative[:, 1]


def _fit(groups: Tensor, mask: Tensor, scale: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Codes at a trial scale, their least-squares scale, and how much of the norm they explain."""
    p = grid.entries.shape[1]
    codes = nearest_codes((groups / scale).reshape(-1, p), grid)
    values = torch.from_numpy(grid.values)[codes].reshape(groups.shape) * mask
    dot, norm = (groups * values).sum(-1, keepdim=True), values.square().sum(-1, keepdim=True)
    best = torch.where(norm > 0, dot / norm.clamp(min=1e-30), torch.zeros_like(dot))
    return codes.reshape(*groups.shape[:-1], -1), best, best * dot


def round_nearest(rotated: Tensor, grid: Grid, width: int) -> tuple[Tensor, Lookup]:
    """Codes (rows, vectors) of a matrix (rows, columns), one scale for every `width` columns.

    `width` is a multiple of the grid's p, or at least `columns`.
    """
    rows, columns = rotated.shape
    p = grid.entries.shape[1]
    width = -(-min(width, columns) // p) * p
    count = -(-columns // width)
    pad = count * width - columns
    groups = torch.nn.functional.pad(rotated, (0, pad)).reshape(rows, count, width)
    mask = torch.nn.functional.pad(torch.ones(columns), (0, pad)).reshape(count, width)
    rms = (groups.square().sum(-1, keepdim=True) / mask.sum(-1, keepdim=True)).sqrt()
    rms = torch.where(rms > 0, rms, torch.ones_like(rms))
    codes, scales, explained = _fit(groups, mask, rms * _MULTIPLIERS[0], grid)
    for multiplier in _MULTIPLIERS[1:]:
        trial = _fit(groups, mask, rms * multiplier, grid)
        better = trial[2] > explained
        codes = torch.where(better, trial[0], codes)
        scales = torch.where(better, trial[1], scales)
        explained = torch.where(better, trial[2], explained)
    vectors = -(-columns // p)
    lookup = Lookup(torch.from_numpy(grid.values), scales.squeeze(-1), None, width)
    return codes.reshape(rows, -1)[:, :vectors], lookup
