"""Packed bytes back to numbers, in Torch operations that every ONNX runtime has.

The inverse of `smalti.runtime.packing`, which documents the layout.
"""

import torch
from torch import Tensor

from smalti.runtime.packing import HEADER


def group_width(columns: int, groups: int) -> int:
    """Columns that share a scale, from how many scales a row has."""
    if groups == 1:
        return columns
    return next(g for g in (64, 128, 256) if -(-columns // g) == groups)


def planes(codes: Tensor, tiles: int, slots: int) -> Tensor:
    """codes (bytes) -> (tiles, planes, slots) without the header."""
    return codes[HEADER.size :].reshape(tiles, -1, slots)


def registers(packed: Tensor, bits: int) -> Tensor:
    """Unpack (..., planes, slots) bytes -> (..., registers, slots) codes."""
    v = packed.to(torch.int32)
    if bits == 8:
        return v
    if bits == 4:
        return torch.stack([v % 16, _shift(v, 4)], dim=-2).flatten(-3, -2)
    v = v.unflatten(-2, (v.shape[-2] // 3, 3))
    a, b, c = v[..., 0, :], v[..., 1, :], v[..., 2, :]
    fourth = _shift(a, 6) + _shift(b, 6) * 4 + _shift(c, 6) * 16
    return torch.stack([a % 64, b % 64, c % 64, fourth], dim=-2).flatten(-3, -2)


def _shift(v: Tensor, bits: int) -> Tensor:
    """v >> bits, as a division: shifts of small integers do not export well."""
    return torch.div(v, 1 << bits, rounding_mode="trunc")


def code_bits(grid: Tensor) -> int:
    """Bits of a code for a grid (n, p)."""
    return int(grid.shape[0]).bit_length() - 1


def look_up(codes: Tensor, scales: Tensor, grid: Tensor, columns: int) -> Tensor:
    """Codes (..., vectors) and scales (..., groups) -> weights (..., columns) in steps."""
    values = grid.to(torch.float32)[codes.to(torch.int64)].flatten(-2, -1)[..., :columns]
    width = group_width(columns, scales.shape[-1])
    spread = scales.to(torch.float32).repeat_interleave(width, dim=-1)[..., :columns]
    return values * spread


def dequantize(codes: Tensor, scales: Tensor, grid: Tensor, rows: int, columns: int) -> Tensor:
    """All weights (rows, columns), rotated, in steps."""
    tiles, groups, lanes = scales.shape
    unpacked = registers(planes(codes, tiles, lanes * 4), code_bits(grid))
    by_row = unpacked.unflatten(-1, (lanes, 4)).transpose(1, 2)
    flat = by_row.reshape(tiles * lanes, -1)[:rows]
    return look_up(flat, scales.transpose(1, 2).reshape(-1, groups)[:rows], grid, columns)


def quantize_activations(x: Tensor, groups: int) -> Tensor:
    """Round x (..., columns) to int8 steps, one scale a group of columns, back in floats."""
    columns = x.shape[-1]
    width = group_width(columns, groups)
    missing = groups * width - columns
    padded = torch.nn.functional.pad(x, (0, missing)) if missing else x
    grouped = padded.unflatten(-1, (groups, width))
    largest = grouped.abs().amax(-1, keepdim=True).clamp(min=3.8e-37)
    rounded: Tensor = torch.round(grouped * (127.0 / largest)) * (largest / 127.0)
    return rounded.flatten(-2, -1)[..., :columns]
