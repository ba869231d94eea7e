"""Calls of BilateralSlice: both conventions, both element types, with and without a guide."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from smalti.runtime.ops.case import Case, normal

# Lz, H, W; h, w
_SIZES = (
    ((8, 6, 7), (11, 13)),
    ((1, 1, 1), (3, 5)),
    ((2, 1, 9), (1, 1)),
    ((1, 4, 1), (1, 300)),
    ((5, 16, 16), (9, 8)),
    ((3, 2, 2), (17, 129)),
    ((3, 2, 2), (0, 4)),
)


def _case(
    rng: np.random.Generator,
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    align: bool,
    int8: bool,
    guided: bool,
    batch: int = 2,
) -> Case:
    """Colours leave 0..1 now and then, as guides do."""
    cells, pixels = sizes
    inputs: dict[str, Any] = {
        "grid": normal(rng, batch, 12, *cells),
        "image": rng.uniform(-0.1, 1.1, (batch, 3, *pixels)).astype(np.float32),
        "scales": rng.uniform(0.5, 1.5, (2, 12)).astype(np.float32),
    }
    if int8:
        inputs["grid"] = rng.integers(-128, 128, inputs["grid"].shape, np.int8)
        inputs["scales"][0] *= np.float32(0.01)
    if guided:
        inputs["guide"] = rng.uniform(-0.2, 1.2, (batch, *pixels)).astype(np.float32)
    kind = (
        f"{'align' if align else 'edges'}-{'i8' if int8 else 'f32'}-{'guide' if guided else 'luma'}"
    )
    name = f"{'x'.join(map(str, (batch, *cells, *pixels)))}-{kind}"
    return Case(name, inputs, {"align_corners": align})


def cases() -> Iterator[Case]:
    """Yield all modes for one size, then sizes."""
    rng = np.random.default_rng(24)
    for align, int8, guided in product((False, True), repeat=3):
        yield _case(rng, _SIZES[0], align, int8, guided)
    for i, sizes in enumerate(_SIZES[1:]):
        for align in (False, True):
            yield _case(rng, sizes, align, False, i % 2 == 0)
    yield _case(rng, _SIZES[0], True, False, False, batch=0)
    shared = _case(rng, _SIZES[0], True, False, True)
    yield Case("one-grid", {**shared.inputs, "grid": shared.inputs["grid"][1:]}, shared.attributes)
