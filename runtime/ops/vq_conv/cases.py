"""Calls of VQConv: every format, and the geometry of convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from smalti.runtime.format import Format
from smalti.runtime.ops.case import FORMATS, Case, normal, random_packed
from smalti.runtime.packing import Header
from smalti.runtime.rotation import block_for

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Sizes of x (N, C, H, W) and of a window."""

    name: str
    x: tuple[int, int, int, int] = (2, 16, 6, 5)
    kernel: Pair = (3, 3)
    strides: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilations: Pair = (1, 1)


GEOMETRIES = (
    Geometry("plain", pads=(0, 0, 0, 0)),
    Geometry("same"),
    Geometry("1x1", kernel=(1, 1), pads=(0, 0, 0, 0)),
    Geometry("1x1-strided", kernel=(1, 1), strides=(2, 2), pads=(0, 0, 0, 0)),
    Geometry("strides", strides=(2, 3)),
    Geometry("dilations", x=(1, 16, 9, 8), dilations=(2, 3), pads=(2, 0, 1, 3)),
    Geometry("asymmetric-pads", pads=(0, 2, 1, 0)),
    Geometry("pads-beyond-kernel", x=(1, 4, 2, 2), pads=(4, 4, 4, 4)),
    Geometry("tall-kernel", kernel=(5, 1), pads=(2, 0, 2, 0)),
    Geometry("kernel-is-image", x=(3, 8, 3, 3), pads=(0, 0, 0, 0)),
    Geometry("three-channels", x=(1, 3, 8, 8), strides=(2, 2)),
    Geometry("many-pixels", x=(2, 8, 20, 17)),
    Geometry("one-channel", x=(1, 1, 4, 4)),
    Geometry("wide", x=(1, 4, 3, 37)),
    Geometry("wide-strides", x=(1, 8, 5, 39), strides=(1, 2)),
    Geometry("wide-steps", x=(1, 8, 5, 39), strides=(1, 4), dilations=(1, 2)),
    Geometry("rotated-by-64", x=(1, 64, 4, 9)),
    Geometry("rotated-by-96", x=(1, 96, 2, 11), kernel=(1, 1), pads=(0, 0, 0, 0)),
    Geometry("empty-batch", x=(0, 16, 6, 5)),
)


def _case(rng: np.random.Generator, form: Format, channels: int, g: Geometry, int8: bool) -> Case:
    patch = g.x[1] * g.kernel[0] * g.kernel[1]
    block = block_for(patch)
    inputs = {"x": normal(rng, *g.x), **random_packed(rng, Header(form, channels, patch, block, 5))}
    if rng.integers(0, 2):
        inputs["bias"] = normal(rng, channels)
    attributes = {
        "out_channels": channels,
        "step": 2.0**-7,
        "int8": int8,
        "block": block,
        "seed": 5,
        "kernel_shape": list(g.kernel),
        "strides": list(g.strides),
        "pads": list(g.pads),
        "dilations": list(g.dilations),
    }
    mode = "int8" if int8 else "float"
    name = f"{form}-{channels}-{g.name}-{mode}{'-bias' if 'bias' in inputs else ''}"
    return Case(name, inputs, attributes)


def cases() -> Iterator[Case]:
    """Yield every format once, then every geometry."""
    rng = np.random.default_rng(4)
    for i, form in enumerate(FORMATS):
        for int8 in (True, False):
            yield _case(rng, form, (8, 16, 19)[i % 3], Geometry("same"), int8)
    for geometry in GEOMETRIES:
        for name in ("vq-2x64-g128", "vq-1x16-row"):
            for int8 in (True, False):
                yield _case(rng, Format.parse(name), 20, geometry, int8)
