"""How a weight is stored: the grid its values come from and the scales beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil, log2

from smalti.runtime.errors import SmaltiError

TILE_ROWS = 16
COLUMN_MULTIPLE = 32
GRIDS = ((1, 16), (2, 16), (2, 64), (2, 256), (4, 256))
GROUPS = (64, 128, 256, None)
_NAME = re.compile(r"vq-(\d+)x(\d+)(?:-g(\d+)|-(row))?")


class FormatError(SmaltiError, ValueError):
    """A format name or combination that smalti does not have."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Format:
    """A rotated, vector-quantized weight: one code of log2(n) bits for p consecutive values.

    `vq-2x64-g128` is p = 2, n = 64 and one fp16 scale for 128 columns; `vq-2x64-row` has one
    scale for a whole row. `vq-2x64` means `vq-2x64-g128`.
    """

    p: int
    n: int
    group: int | None = 128

    def __post_init__(self) -> None:
        if (self.p, self.n) not in GRIDS:
            known = ", ".join(f"vq-{p}x{n}" for p, n in GRIDS)
            raise FormatError(f"no grid of {self.n} entries of {self.p} values; smalti has {known}")
        if self.group not in GROUPS:
            raise FormatError(f"no scale group of {self.group}; use g64, g128, g256 or row")

    @classmethod
    def parse(cls, name: str) -> Format:
        """Read a canonical or short name.

        Raises:
            FormatError: the name is none that smalti knows.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise FormatError(
                f"unknown format {name!r}; names look like vq-2x64-g128, vq-1x16 or vq-4x256-row"
            )
        p, n, group, row = match.groups()
        return cls(int(p), int(n), None if row else int(group or 128))

    def __str__(self) -> str:
        return f"{self.grid_name}-{'row' if self.group is None else f'g{self.group}'}"

    @property
    def grid_name(self) -> str:
        """The grid alone, as in `vq-2x64`."""
        return f"vq-{self.p}x{self.n}"

    @property
    def code_bits(self) -> int:
        """Bits of one code."""
        return int(log2(self.n))

    def groups(self, columns: int) -> int:
        """Scales in a row of `columns` weights."""
        return 1 if self.group is None else ceil(columns / self.group)

    def bits_per_weight(self, columns: int) -> float:
        """Codes and fp16 scales, in a row of `columns` weights."""
        return self.code_bits / self.p + 16 * self.groups(columns) / columns

    def packed_bytes(self, rows: int, columns: int) -> int:
        """Bytes in the file, with tile padding and header."""
        tiles = ceil(rows / TILE_ROWS)
        padded = ceil(columns / COLUMN_MULTIPLE) * COLUMN_MULTIPLE
        codes = tiles * TILE_ROWS * padded // self.p * self.code_bits // 8
        return 64 + codes + 2 * tiles * TILE_ROWS * self.groups(columns)
