"""Tables of grid encodings in int8, or in codes of a learned codebook. Needs no data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smalti.quant.apply import LayerReport
from smalti.quant.codebook import by_mahalanobis
from smalti.runtime.ops.grid_encode.module import GridEncoding

FORMATS = ("int8", "vq-1x256", "vq-2x256", "vq-4x256")
_ENTRIES = 256
_ITERATIONS = 25
_SLICE = 1 << 14  # vectors that are met with all entries at once: 16 MB
_SAMPLE = 1 << 16  # vectors that a codebook is learned from


def quantize_table_(module: nn.Module, form: str) -> list[LayerReport]:
    """Quantize the tables of all GridEncodings in `module`, itself or inside, in place.

    form: `int8`, with a scale for each level; or `vq-2x256` and the like: each p features of a row
    become one code of 8 bits, an entry of the table's own codebook, found by k-means in units of
    the levels' scales. p has to divide the features.

    Returns:
        One report a table.

    Raises:
        ValueError: an unknown form, or one whose p does not divide the features; a table that is
            quantized already, or not finite. Nothing is changed then.
    """
    if form not in FORMATS:
        raise ValueError(f"form={form!r}; use one of {', '.join(FORMATS)}")
    found = {n: m for n, m in module.named_modules() if isinstance(m, GridEncoding)}
    for name, encoding in found.items():
        _check(name or "the module", encoding, form)
    return [_quantize(name, encoding, form) for name, encoding in found.items()]


def table_bytes(encoding: GridEncoding, form: str) -> int | None:
    """Return what a table takes with its scales and codebook; None if p divides no row."""
    p = _entry_size(form)
    if encoding.features % p:
        return None
    codebook = 0 if form == "int8" else 4 * _ENTRIES * p
    return encoding.table.numel() // p + 4 * len(encoding.levels) + codebook


def _entry_size(form: str) -> int:
    return int(form[3]) if form.startswith("vq") else 1


def _check(name: str, encoding: GridEncoding, form: str) -> None:
    if not encoding.table.is_floating_point():
        raise ValueError(f"{name}: the table is quantized already")
    if not encoding.table.isfinite().all():
        raise ValueError(f"{name}: the table is not finite; train it again")
    if encoding.features % _entry_size(form):
        raise ValueError(
            f"{name}: {encoding.features} features a row; {form} takes multiples of "
            f"{_entry_size(form)}"
        )


def _quantize(name: str, encoding: GridEncoding, form: str) -> LayerReport:
    table = encoding.table.detach().float()
    row_level = _row_levels(encoding.levels, len(table))
    scales = _scales(table, row_level, len(encoding.levels), form)
    units = table / scales[row_level].clamp_min(1e-30).unsqueeze(1)
    codebook = None
    if form == "int8":
        stored = units.round().clamp(-127, 127).to(torch.int8)
        decoded = stored.float()
    else:
        vectors = units.reshape(-1, _entry_size(form))
        mass = scales[row_level].square().repeat_interleave(len(vectors) // len(table))
        codebook = _learned(vectors, mass)
        codes = _nearest(vectors, codebook)
        decoded = codebook[codes].reshape(table.shape)
        stored = codes.to(torch.uint8).reshape(len(table), -1)
    del encoding.table
    encoding.register_buffer("table", stored)
    encoding.scales, encoding.codebook = scales, codebook
    size = sum(t.nbytes for t in (stored, scales, codebook) if t is not None)
    lost = (decoded * scales[row_level].unsqueeze(1) - table).square().sum()
    error = float(lost / table.square().sum().clamp_min(1e-30))
    bits = 8 * size / table.numel()
    return LayerReport(name, "GridEncoding", tuple(table.shape), form, size, bits, error)


def _row_levels(levels: Tensor, rows: int) -> Tensor:
    """The level of every row; rows of none belong to the last."""
    found = torch.full((rows,), len(levels) - 1)
    for level, (first, count) in enumerate(levels[:, -2:].tolist()):
        found[first : first + count] = level
    return found


def _scales(table: Tensor, row_level: Tensor, count: int, form: str) -> Tensor:
    """Of int8 the largest feature becomes 127; of codes the mean square becomes 1."""
    parts = [table[row_level == level] for level in range(count)]
    if form == "int8":
        return torch.stack([part.abs().max() / 127 for part in parts])
    return torch.stack([part.square().mean().sqrt() for part in parts])


def _nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    half = 0.5 * codebook.square().sum(1)
    return torch.cat([(v @ codebook.T - half).argmax(1) for v in vectors.split(_SLICE)])


def _learned(vectors: Tensor, mass: Tensor) -> Tensor:
    """Entries (256, p) for vectors (m, p) by k-means (Lloyd 1982), each counting as its mass."""
    step = -(-len(vectors) // _SAMPLE)
    vectors, mass = vectors[::step], mass[::step].unsqueeze(1)
    codebook = by_mahalanobis(vectors, _ENTRIES)
    for _ in range(_ITERATIONS):
        codes = _nearest(vectors, codebook)
        sums = torch.zeros_like(codebook).index_add(0, codes, vectors * mass)
        weights = torch.zeros(_ENTRIES, 1).index_add(0, codes, mass)
        codebook = torch.where(weights > 0, sums / weights.clamp_min(1e-30), codebook)
    return codebook
