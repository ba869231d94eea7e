"""Calls of VQMatMul: every format, widths and heights that fill no tile, few and many rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from smalti.runtime.format import Format
from smalti.runtime.ops.case import FORMATS, Case, normal, random_packed
from smalti.runtime.packing import Header

_WIDTHS = (3, 27, 96, 100, 160, 300, 384, 576)
_ROWS = (1, 2, 3, 5, 8, 9)
_FEATURES = (1, 16, 17, 40, 70)


def _case(
    rng: np.random.Generator, form: Format, features: int, shape: tuple[int, ...], int8: bool
) -> Case:
    header = Header(form, features, shape[-1], 1, 0)
    inputs = {"x": normal(rng, *shape), **random_packed(rng, header)}
    bias = rng.integers(0, 2) == 1
    if bias:
        inputs["bias"] = normal(rng, features)
    sizes = "x".join(map(str, shape)) + f"-{features}"
    name = f"{form}-{sizes}-{'int8' if int8 else 'float'}{'-bias' if bias else ''}"
    step = float(np.float32(0.01))
    return Case(name, inputs, {"out_features": features, "step": step, "int8": int8})


def cases() -> Iterator[Case]:
    """Yield every format in every width, then shapes of activations."""
    rng = np.random.default_rng(2)
    for i, form in enumerate(FORMATS):
        for j, columns in enumerate(_WIDTHS):
            rows, features = _ROWS[(i + j) % len(_ROWS)], _FEATURES[(i + j) % len(_FEATURES)]
            for int8 in (True, False):
                yield _case(rng, form, features, (rows, columns), int8)
    for form in map(Format.parse, ("vq-1x16-g64", "vq-2x64-g128", "vq-4x256-row")):
        for shape in ((96,), (0, 96), (2, 0, 96), (600, 100), (2, 3, 5, 64), (1, 2048), (9, 36864)):
            for int8 in (True, False):
                yield _case(rng, form, 24, shape, int8)
