"""How a weight is stored: where its values come from and the scales beside it."""

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
_BLOCK_NAME = re.compile(r"([a-z]+\d)(?:-g(\d+))?")
_INTEGER_GROUPS = (128, 64, 32)
# Groups of every kind, its default first. The engine's operators and the OCP formats fix them.
_BLOCK_GROUPS = {
    "int8": _INTEGER_GROUPS,
    "int4": _INTEGER_GROUPS,
    "int2": _INTEGER_GROUPS,
    "nf4": (64,),
    "mxfp4": (32,),
    "nvfp4": (16,),
}


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


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """A weight as it is, not rotated: one code a weight and one scale for `group` columns.

    kind: `int8`, `int4`, `int2` (steps from an integer zero point), `nf4` (16 quantiles of a
    Gaussian), `mxfp4`, `nvfp4` (floats of 4 bits). `int4-g32` has groups of 32; `int4` means
    `int4-g128`. `mxfp4` and `nvfp4` have one group size each, so their names carry none.
    """

    kind: str
    group: int

    def __post_init__(self) -> None:
        groups = _BLOCK_GROUPS.get(self.kind)
        if groups is None:
            raise FormatError(f"no format {self.kind!r}; smalti has {', '.join(_BLOCK_GROUPS)}")
        if self.group not in groups:
            known = " or ".join(f"g{g}" for g in groups)
            raise FormatError(f"{self.kind} has no group of {self.group}; use {known}")

    @classmethod
    def parse(cls, name: str) -> BlockFormat:
        """Read a canonical or short name.

        Raises:
            FormatError: the name is none that smalti knows.
        """
        match = _BLOCK_NAME.fullmatch(name)
        if match is None or match[1] not in _BLOCK_GROUPS:
            raise FormatError(f"unknown format {name!r}; smalti has {known_formats()}")
        return cls(match[1], int(match[2] or _BLOCK_GROUPS[match[1]][0]))

    def __str__(self) -> str:
        return self.kind if self.kind.endswith("fp4") else f"{self.kind}-g{self.group}"

    @property
    def is_integer(self) -> bool:
        """Whether codes are steps from a zero point."""
        return self.kind.startswith("int")

    @property
    def code_bits(self) -> int:
        """Bits of one code."""
        return int(self.kind[-1])

    @property
    def scale_bytes(self) -> int:
        """Bytes of one scale: float32, or a float of 8 bits."""
        return 1 if self.kind.endswith("fp4") else 4

    def groups(self, columns: int) -> int:
        """Scales in a row of `columns` weights."""
        return ceil(columns / self.group)

    def bits_per_weight(self, columns: int) -> float:
        """Codes, scales and zero points, in a row of `columns` weights, with its padding."""
        return 8 * self.packed_bytes(1, columns) / columns

    def packed_bytes(self, rows: int, columns: int) -> int:
        """Bytes in the file."""
        groups = self.groups(columns)
        codes = groups * self.group * self.code_bits // 8
        zero_points = ceil(groups * self.code_bits / 8) if self.is_integer else 0
        return rows * (codes + groups * self.scale_bytes + zero_points)


@dataclass(frozen=True, slots=True)
class BranchFormat:
    """A weight in another format, and a float branch of low rank that makes up for its error.

    `vq-2x64-g128+r8` has a branch of rank 8.
    """

    base: Format | BlockFormat
    rank: int

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise FormatError(f"a branch of rank {self.rank}; use +r1 or more, or no branch")

    def __str__(self) -> str:
        return f"{self.base}+r{self.rank}"


AnyFormat = Format | BlockFormat | BranchFormat
BLOCK_FORMATS = tuple(BlockFormat(k, g) for k, groups in _BLOCK_GROUPS.items() for g in groups)


def known_formats() -> str:
    """Names for messages; those of grids without their groups."""
    grids = [f"vq-{p}x{n}" for p, n in GRIDS]
    return ", ".join([*grids, *(str(form) for form in BLOCK_FORMATS)])


def parse_format(name: str) -> AnyFormat:
    """Read the name of any format, canonical or short.

    Raises:
        FormatError: the name is none that smalti knows.
    """
    name, plus, rank = name.partition("+r")
    base = Format.parse(name) if name.startswith("vq") else BlockFormat.parse(name)
    if not plus:
        return base
    if not rank.isdecimal():
        raise FormatError(f"no rank {rank!r}; a branch is written as in {name}+r8")
    return BranchFormat(base, int(rank))
