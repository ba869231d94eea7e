"""Small models that an engine is timed on, one kind of work each.

A chain of equal nodes, so that what a run and a node cost beside the work can be taken off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from smalti.devices.onnx_writer import Model
from smalti.runtime.format import Format
from smalti.runtime.ops.case import random_packed
from smalti.runtime.packing import Header
from smalti.runtime.rotation import block_for

WIDTH = 768  # rows and columns of weights: 2.4 MB in fp32, so they stay in a cache
CHAIN = 4  # nodes of matrix work
TOUCHES = 8  # nodes of work on numbers
PIXELS = 64
ROWS = (1, 8, 64)
_GROUP = 128
_MICROSOFT = "com.microsoft"
_EVEN, _ODD = 768, 240  # widths whose Hadamard transforms have orders 2^k and 20 * 2^k
_CHANNELS, _SIDE, _TAPS = 96, 24, 9
_RNG = np.random.default_rng

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Probe:
    """A model, and the work of one kind in it; beside it, work of other kinds and its nodes."""

    kind: str
    rows: int
    amount: int
    model: Model
    nodes: int
    other: tuple[tuple[str, int, int], ...] = ()


def tiny(nodes: int) -> Model:
    """Return a chain of nodes that have next to nothing to do."""
    model = Model((1, 16))
    for _ in range(nodes):
        model.add("Add", model.last, model.last)
    return model


def probes() -> Iterator[Probe]:
    """Yield all probes; those that another one's `other` work refers to come first."""
    for kind, chain in _MATRICES.items():
        for rows in ROWS:
            amount = CHAIN * rows * WIDTH * WIDTH
            yield Probe(kind, rows, amount, chain(rows), CHAIN)
    numbers = TOUCHES * PIXELS * _EVEN
    yield Probe("move", 1, numbers, _touches(_add), TOUCHES)
    yield Probe("exp", 1, numbers, _touches(_gelu), TOUCHES)
    # Engines fuse the sum of a residual and its norm, and are timed on both together.
    yield Probe("norm", 1, numbers, _norms(), 2 * TOUCHES, (("move", numbers, 1),))
    yield Probe("rotate", 1, numbers, _touches(_rotate), TOUCHES)
    yield Probe("rotate-odd", 1, TOUCHES * PIXELS * _ODD, _touches(_rotate, _ODD), TOUCHES)
    macs = TOUCHES * _CHANNELS * _SIDE * _SIDE * _TAPS
    yield Probe("depthwise", 1, macs, _depthwise(), TOUCHES)
    for pixels in (PIXELS // 4, 8 * PIXELS):  # few pixels leave threads idle
        yield _patches("patch", _EVEN, pixels)
        yield _patches("patch-odd", _ODD, pixels)


def _weights(columns: int = WIDTH) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """(columns, columns), of rows of length about 1, so that a chain keeps its size."""
    values = _RNG(0).standard_normal((columns, columns), np.float32)
    return values / np.float32(np.sqrt(columns))


def _float(rows: int) -> Model:
    model = Model((rows, WIDTH))
    weights = model.store("w", _weights())
    for _ in range(CHAIN):
        model.add("MatMul", model.last, weights)
    return model


def _conv(rows: int) -> Model:
    model = Model((1, WIDTH, rows, 1))
    weights = model.store("w", _weights()[:, :, None, None])
    for _ in range(CHAIN):
        model.add("Conv", model.last, weights, kernel_shape=(1, 1))
    return model


def _low_bit(bits: int, rows: int) -> Model:
    model, groups = Model((rows, WIDTH)), WIDTH // _GROUP
    codes = _RNG(0).integers(0, 256, (WIDTH, groups, _GROUP * bits // 8)).astype(np.uint8)
    zeros = np.full((WIDTH, groups * bits // 8), 0x88 if bits == 4 else 0x80, np.uint8)
    scales = np.full((WIDTH, groups), 2.0 ** (1 - bits) / np.sqrt(WIDTH), np.float32)
    stored = [model.store(*item) for item in (("c", codes), ("s", scales), ("z", zeros))]
    sizes: Attributes = {
        "K": WIDTH,
        "N": WIDTH,
        "bits": bits,
        "block_size": _GROUP,
        "accuracy_level": 4,
    }
    for _ in range(CHAIN):
        model.add("MatMulNBits", model.last, *stored, domain=_MICROSOFT, **sizes)
    return model


def _packed(model: Model, form: Format, rows: int, columns: int, block: int) -> list[str]:
    found = random_packed(_RNG(0), Header(form, rows, columns, block, 0))
    return [model.store(name, array) for name, array in found.items()]


def _vq(grid: str, rows: int, int8: int = 1) -> Model:
    model = Model((rows, WIDTH))
    stored = _packed(model, Format.parse(grid), WIDTH, WIDTH, block_for(WIDTH))
    fixed: Attributes = {"out_features": WIDTH, "step": 1e-4, "int8": int8}
    for _ in range(CHAIN):
        model.add("VQMatMul", model.last, *stored, domain="smalti", **fixed)
    return model


def _touches(step: Callable[[Model], object], width: int = _EVEN) -> Model:
    model = Model((PIXELS, width))
    for _ in range(TOUCHES):
        step(model)
    return model


def _add(model: Model) -> None:
    model.add("Add", model.last, "x")


def _gelu(model: Model) -> None:
    model.add("Gelu", model.last)


def _rotate(model: Model) -> None:
    block = block_for(model.shape[-1])
    model.add("HadamardTransform", model.last, domain="smalti", block=block, seed=0)


def _norms() -> Model:
    model = Model((1, PIXELS, _EVEN))  # engines fuse them for three axes only
    ones = model.store("ones", np.ones(_EVEN, np.float32))
    for _ in range(TOUCHES):
        model.add("Add", model.last, "x")
        model.add("LayerNormalization", model.last, ones, ones, axis=2, epsilon=1e-5)
    return model


def _depthwise() -> Model:
    model = Model((1, _CHANNELS, _SIDE, _SIDE))
    weights = model.store("w", np.full((_CHANNELS, 1, 3, 3), 1 / _TAPS, np.float32))
    fixed: Attributes = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "group": _CHANNELS}
    for _ in range(TOUCHES):
        model.add("Conv", model.last, weights, **fixed)
    return model


def _patches(kind: str, columns: int, pixels: int) -> Probe:
    """Our convolution with few outputs, so that its patches are most of the work."""
    outputs, block, form = 16, block_for(columns), Format.parse("vq-2x16")
    model = Model((1, columns, pixels, 1))
    stored = _packed(model, form, outputs, columns, block)
    fixed: Attributes = {
        "out_channels": outputs,
        "int8": 1,
        "block": block,
        "seed": 0,
        "kernel_shape": (1, 1),
    }
    fixed |= {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}
    found = []
    for i in range(CHAIN):  # each of its own, or the engine would run one for all
        step = 1e-4 * (i + 1)
        found.append(model.add("VQConv", "x", *stored, domain="smalti", step=step, **fixed))
    for name in found[1:]:
        model.add("Add", model.last, name)
    numbers = CHAIN * pixels * columns
    other = (("vq-2x16", numbers * outputs, ROWS[-1]),)
    return Probe(kind, pixels, numbers, model, 2 * CHAIN - 1, other)


_MATRICES: dict[str, Callable[[int], Model]] = {
    "float": _float,
    "conv": _conv,
    "int8": partial(_low_bit, 8),
    "int4": partial(_low_bit, 4),
    "vq-1x16": partial(_vq, "vq-1x16"),
    "vq-2x16": partial(_vq, "vq-2x16"),
    "vq-2x64": partial(_vq, "vq-2x64"),
    "vq-2x256": partial(_vq, "vq-2x256"),
    "vq-4x256": partial(_vq, "vq-4x256"),
    "vq-float": partial(_vq, "vq-2x64", int8=0),
}
