"""Codes and scales in the order in which the kernels read them (docs/formats.md draws it)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from smalti.runtime.errors import FileError
from smalti.runtime.format import COLUMN_MULTIPLE, TILE_ROWS, Format, FormatError

HEADER = struct.Struct("<4sHBBIIIIQ32x")
MAGIC = b"SMLT"
VERSION = 1


class PackedError(FileError):
    """Packed bytes that are not what their header says, or no packed bytes at all."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the first 64 bytes of a packed tensor say."""

    format: Format
    rows: int
    columns: int
    block: int
    seed: int

    def to_bytes(self) -> bytes:
        """Return the 64 bytes."""
        f = self.format
        fields = (f.p, f.code_bits, self.rows, self.columns, f.group or 0, self.block, self.seed)
        return HEADER.pack(MAGIC, VERSION, *fields)

    @classmethod
    def read(cls, data: bytes | memoryview) -> Header:
        """Read a header.

        Raises:
            PackedError: too short, not packed by smalti, or of a layout this version cannot read.
        """
        if len(data) < HEADER.size:
            raise PackedError(f"{len(data)} bytes are too few for a header of {HEADER.size}")
        magic, version, p, bits, rows, columns, group, block, seed = HEADER.unpack(data[:64])
        if magic != MAGIC:
            raise PackedError("no packed weights (they start with SMLT)")
        if version != VERSION:
            raise PackedError(f"layout version {version}, this smalti reads {VERSION}; update it")
        try:
            return cls(Format(p, 1 << bits, group or None), rows, columns, block, seed)
        except FormatError as error:
            raise PackedError(f"damaged header: {error}") from None


def _planes(registers: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """(tiles, registers, 64) codes -> (tiles, bytes): registers share bytes by their width."""
    if bits == 8:
        return registers
    if bits == 4:
        low, high = registers[:, 0::2], registers[:, 1::2]
        return (low | high << 4).astype(np.uint8)
    fourth = registers[:, 3::4]
    shares = [registers[:, j::4] | (fourth >> 2 * j & 3) << 6 for j in range(3)]
    return np.stack(shares, axis=2)


def pack_codes(codes: NDArray[np.uint8], header: Header) -> NDArray[np.uint8]:
    """Pack codes (rows, ceil(columns / p)) into one array of bytes with its header in front."""
    f = header.format
    tiles = ceil(header.rows / TILE_ROWS)
    padded = ceil(header.columns / COLUMN_MULTIPLE) * COLUMN_MULTIPLE
    full = np.zeros((tiles * TILE_ROWS, padded // f.p), np.uint8)
    full[: codes.shape[0], : codes.shape[1]] = codes
    registers = full.reshape(tiles, TILE_ROWS, -1, 4).swapaxes(1, 2).reshape(tiles, -1, 64)
    body = _planes(registers, f.code_bits).ravel()
    return np.concatenate([np.frombuffer(header.to_bytes(), np.uint8), body])


def pack_scales(scales: NDArray[np.float16], header: Header) -> NDArray[np.float16]:
    """Pack scales (rows, groups) as (tiles, groups, 16)."""
    tiles = ceil(header.rows / TILE_ROWS)
    full = np.zeros((tiles * TILE_ROWS, scales.shape[1]), np.float16)
    full[: len(scales)] = scales
    return np.ascontiguousarray(full.reshape(tiles, TILE_ROWS, -1).swapaxes(1, 2))
