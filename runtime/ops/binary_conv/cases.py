"""Calls of BinaryConv: the geometry of convolutions, and sizes around those of bytes and tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from smalti.runtime.ops.binary_conv.packing import pack_bits
from smalti.runtime.ops.case import Array, Case, normal
from smalti.runtime.ops.vq_conv.cases import GEOMETRIES, Geometry


def binary_case(rng: np.random.Generator, outputs: int, g: Geometry) -> Case:
    """Return a call with random weights; some of x are zeros, of either sign."""
    x = normal(rng, *g.x)
    x[rng.random(g.x) < 0.1] = 0.0
    x[rng.random(g.x) < 0.1] = -0.0
    positive = rng.random((outputs, g.x[1], *g.kernel)) < 0.5
    inputs: dict[str, Array] = {"x": x, "codes": pack_bits(positive), "alpha": normal(rng, outputs)}
    if rng.integers(0, 2):
        inputs["bias"] = normal(rng, outputs)
    attributes = {
        "out_channels": outputs,
        "kernel_shape": list(g.kernel),
        "strides": list(g.strides),
        "pads": list(g.pads),
        "dilations": list(g.dilations),
    }
    return Case(f"{outputs}-{g.name}{'-bias' if 'bias' in inputs else ''}", inputs, attributes)


def cases() -> Iterator[Case]:
    """Yield every geometry, then numbers of outputs and channels, then a NaN."""
    rng = np.random.default_rng(22)
    for geometry in GEOMETRIES:
        yield binary_case(rng, 20, geometry)
    for outputs in (1, 32, 33, 64, 65, 100):
        for channels in (1, 7, 8, 9, 32, 33, 40, 256):
            size = Geometry(f"{channels}-channels", x=(1, channels, 5, 5))
            yield binary_case(rng, outputs, size)
    many = Geometry("most-weights", x=(1, 2621, 5, 5), kernel=(5, 5), pads=(0, 0, 0, 0))
    yield binary_case(rng, 3, many)
    case = binary_case(rng, 40, replace(GEOMETRIES[1], name="nan"))
    case.inputs["x"][1, 3, 2, 4] = np.nan
    yield case
