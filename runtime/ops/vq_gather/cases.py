"""Calls of VQGather: every format, indices of every rank and more than once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.format import Format
from smalti.runtime.ops.case import FORMATS, Case, random_packed
from smalti.runtime.packing import Header
from smalti.runtime.rotation import block_for

_WIDTHS = (3, 27, 96, 100, 160, 300, 384)
_SHAPES = ((), (1,), (5,), (0,), (3, 4), (2, 3, 2), (0, 3), (300,))
_TABLE = 37  # rows: two tiles and a piece


def _case(
    rng: np.random.Generator, form: Format, columns: int, shape: tuple[int, ...], block: int
) -> Case:
    packed = random_packed(rng, Header(form, _TABLE, columns, block, 11))
    indices = rng.integers(0, _TABLE, shape, np.int64)
    name = f"{form}-{columns}-indices{'x'.join(map(str, shape)) or '-scalar'}-block{block}"
    attributes = {"columns": columns, "step": 0.125, "block": block, "seed": 11}
    return Case(name, {"indices": np.asarray(indices), **packed}, attributes)


def cases() -> Iterator[Case]:
    """Yield every format in every width, shapes of indices, blocks, and each row of a table."""
    rng = np.random.default_rng(3)
    for form in FORMATS:
        for columns in _WIDTHS:
            yield _case(rng, form, columns, (6,), block_for(columns))
    form = Format.parse("vq-2x64-g64")
    for shape in _SHAPES:
        yield _case(rng, form, 96, shape, 32)
    for block in (1, 2, 8, 12, 20, 24, 28, 56, 64, 128, 512, 1024):
        yield _case(rng, form, block * (1 if block > 99 else 3), (4,), block)
    whole = _case(rng, form, 64, (2, _TABLE), 64)
    indices = np.stack([np.arange(_TABLE), np.full(_TABLE, _TABLE - 1)])
    yield Case("every-row-and-one-repeated", {**whole.inputs, "indices": indices}, whole.attributes)
