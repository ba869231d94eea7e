"""The rotation's choices: block size, signs, and the Hadamard matrices it is made of.

A block of 2^k uses Sylvester's matrix, one of m 2^k (m = 12, 20, 28) the Kronecker product of
Paley's second construction with Sylvester's. All are symmetric: a transform is its own inverse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_BLOCK = 1024
_PALEY = (12, 20, 28)
_GOOD_POWER = 64  # from here on a power of two rotates as well as a larger order, and faster


def block_for(width: int) -> int:
    """Return the Hadamard order that rotates rows of `width`; 1 leaves only the signs.

    The largest power of two that divides the width if that is 64 or more, else the largest order
    of any kind that divides it; at most 1024.
    """
    powers: list[int] = [1 << k for k in range(11) if width % (1 << k) == 0]
    others = [m << k for m in _PALEY for k in range(7) if width % (m << k) == 0]
    if powers[-1] >= _GOOD_POWER:
        return powers[-1]
    return max(o for o in powers + others if o <= MAX_BLOCK)


def split_mix_64(seed: int, count: int) -> NDArray[np.uint64]:
    """Return the first words of SplitMix64 (Steele, Lea, Flood 2014) started at `seed`."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def signs(seed: int, count: int) -> NDArray[np.int8]:
    """Return `count` values of +1 or -1: bit i % 64 (set means -1) of word i // 64."""
    words = split_mix_64(seed, (count + 63) // 64).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")[:count]
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def _sylvester(order: int) -> NDArray[np.float32]:
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _character(q: int) -> NDArray[np.float32]:
    """Return chi(a - b) for all pairs of the field of q elements (5, 9 or 13)."""
    a, b = np.divmod(np.arange(q * q), q)
    if q == 9:  # x + iy with i^2 = -1, numbered 3x + y: squares have norm 1
        norm = ((a // 3 - b // 3) ** 2 + (a % 3 - b % 3) ** 2) % 3
        values = np.array([0, 1, -1])[norm]
    else:
        squares = np.isin((a - b) % q, [r * r % q for r in range(1, q)])
        values = np.where(a == b, 0, np.where(squares, 1, -1))
    return np.asarray(values, np.float32).reshape(q, q)


def _paley(order: int) -> NDArray[np.float32]:
    """Paley's second construction: symmetric, of order 2 (q + 1)."""
    q = order // 2 - 1
    conference = np.ones((q + 1, q + 1), np.float32)
    conference[0, 0] = 0
    conference[1:, 1:] = _character(q)
    off = np.array([[1, 1], [1, -1]], np.float32)
    diagonal = np.array([[1, -1], [-1, -1]], np.float32)
    matrix = np.kron(conference, off) + np.kron(np.eye(q + 1), diagonal)
    return np.asarray(matrix, np.float32)


def hadamard_factors(block: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return A, B of +-1 with A kron B the Hadamard matrix of order `block`.

    Raises:
        ValueError: there is no such matrix here.
    """
    power = max(block & -block, 1)
    odd = block // power
    known = odd == 1 or (4 * odd in _PALEY and power >= 4)
    if not (known and 1 <= block <= MAX_BLOCK):
        raise ValueError(
            f"{block} is no Hadamard order: a power of two, or 12, 20 or 28 times one, "
            f"up to {MAX_BLOCK}"
        )
    if odd > 1:
        return _paley(4 * odd), _sylvester(power // 4)
    half = 1 << (power.bit_length() - 1) // 2
    return _sylvester(half), _sylvester(power // half)
