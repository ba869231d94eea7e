"""Weights of one bit in the order in which the kernel reads them (docs/formats.md draws it)."""

from __future__ import annotations

import struct
from math import ceil

import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct("<4sHHIIII40x")
MAGIC = b"SMLB"
VERSION = 1
TILE_OUTPUTS = 32
MOST_WEIGHTS = 65535  # of one output


def packed_bytes(outputs: int, channels: int, height: int, width: int) -> int:
    """Size of a packed kernel, with its header and the padding of tiles and channels."""
    tiles = ceil(outputs / TILE_OUTPUTS)
    return HEADER.size + tiles * TILE_OUTPUTS * height * width * ceil(channels / 8)


def pack_bits(positive: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pack which weights (outputs, channels, height, width) are +1; the others are -1.

    Raises:
        ValueError: an output has no weights, or more than 65535.
    """
    outputs, channels, height, width = positive.shape
    weights = channels * height * width
    if not 0 < weights <= MOST_WEIGHTS or outputs == 0:
        raise ValueError(
            f"weights: {outputs} outputs of {weights} bits each; an output takes 1 to "
            f"{MOST_WEIGHTS}"
        )
    tiles, octets = ceil(outputs / TILE_OUTPUTS), ceil(channels / 8)
    full = np.zeros((tiles * TILE_OUTPUTS, octets * 8, height * width), np.uint8)
    full[:outputs, :channels] = positive.reshape(outputs, channels, -1)
    bits = full.reshape(tiles, TILE_OUTPUTS, octets, 8, -1).transpose(0, 4, 2, 1, 3)
    body = np.packbits(bits, axis=-1, bitorder="little").ravel()
    header = HEADER.pack(MAGIC, VERSION, 0, outputs, channels, height, width)
    return np.concatenate([np.frombuffer(header, np.uint8), body])
