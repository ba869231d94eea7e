"""What cuts, joins, turns and sums tensors along axes, as TensorFlow Lite has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import fx

from smalti.export.functions import ConversionError

if TYPE_CHECKING:
    from smalti.export.tflite_direct import _Writer

aten = torch.ops.aten
_CODE = schema.BuiltinOperator


def _numbers(writer: _Writer, name: str, values: list[int]) -> int:
    return writer.model.constant(name, np.array(values, np.int32))


def _arguments(node: fx.Node, *defaults: Any) -> list[Any]:
    given: Any = node.args
    return [*given, *defaults[len(given) :]]


def _cut(writer: _Writer, node: fx.Node, axis: int, first: int, size: int) -> list[int]:
    """Inputs of SLICE that takes `size` values of an axis from `first` on."""
    x: Any = node.args[0]
    sizes = list(x.meta["val"].shape)
    begin = [0] * len(sizes)
    begin[axis] = min(max(first + sizes[axis] * (first < 0), 0), sizes[axis])
    sizes[axis] = size
    begins = _numbers(writer, f"{node.name}.begin", begin)
    return [writer.value(x), begins, _numbers(writer, f"{node.name}.sizes", sizes)]


def _slice(writer: _Writer, node: fx.Node) -> None:
    _, axis, first, _, step = _arguments(node, None, 0, None, None, 1)
    if step != 1:
        raise ConversionError(f"{node.target} with a step of {step}; LiteRT's has none")
    inputs = _cut(writer, node, axis, first or 0, node.meta["val"].shape[axis])
    writer.builtin(node, _CODE.SLICE, inputs, schema.SliceOptionsT())


def _select(writer: _Writer, node: fx.Node) -> None:
    x, axis, index = _arguments(node)
    sizes = list(x.meta["val"].shape)
    sizes[axis] = 1
    kind = node.meta["val"]
    part = writer.model.tensor(f"{node.name}.part", sizes, str(kind.dtype).removeprefix("torch."))
    inputs = _cut(writer, node, axis, index, 1)
    writer.model.builtin(_CODE.SLICE, inputs, [part], schema.SliceOptionsT())
    shape = _numbers(writer, f"{node.name}.shape", list(kind.shape))
    writer.builtin(node, _CODE.RESHAPE, [part, shape])


def _cat(writer: _Writer, node: fx.Node) -> None:
    parts, axis = _arguments(node, None, 0)
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    writer.builtin(node, _CODE.CONCATENATION, [writer.value(p) for p in parts], options)


def _reduction(code: int) -> Callable[[_Writer, fx.Node], None]:
    def write_it(writer: _Writer, node: fx.Node) -> None:
        x, axes, keep = _arguments(node, None, None, False)
        options = schema.ReducerOptionsT()
        options.keepDims = keep
        inputs = [writer.value(x), _numbers(writer, f"{node.name}.axes", list(axes))]
        writer.builtin(node, code, inputs, options)

    return write_it


def _transposed(writer: _Writer, node: fx.Node, order: list[int]) -> None:
    axes = _numbers(writer, f"{node.name}.order", order)
    x = writer.value(node.args[0])
    writer.builtin(node, _CODE.TRANSPOSE, [x, axes], schema.TransposeOptionsT())


def _transpose(writer: _Writer, node: fx.Node) -> None:
    _, a, b = _arguments(node)
    order = list(range(node.meta["val"].dim()))
    order[a], order[b] = order[b], order[a]
    _transposed(writer, node, order)


def _permute(writer: _Writer, node: fx.Node) -> None:
    _, axes = _arguments(node)
    _transposed(writer, node, [axis % len(axes) for axis in axes])


def _pad(writer: _Writer, node: fx.Node) -> None:
    """Fill up with zeros; Torch counts axes from the last one."""
    x, sizes, mode, value = _arguments(node, None, None, "constant", None)
    if mode != "constant" or value or min(sizes) < 0:
        raise ConversionError(f"{node.target} of {sizes}, {mode!r}; fill up with zeros")
    pads = np.zeros((x.meta["val"].dim(), 2), np.int32)
    pads[::-1][: len(sizes) // 2] = np.reshape(sizes, (-1, 2))
    inputs = [writer.value(x), writer.model.constant(f"{node.name}.pads", pads)]
    writer.builtin(node, _CODE.PAD, inputs, schema.PadOptionsT())


WRITERS: dict[Any, Callable[[_Writer, fx.Node], None]] = {
    aten.slice.Tensor: _slice,
    aten.select.int: _select,
    aten.cat.default: _cat,
    aten.sum.dim_IntList: _reduction(_CODE.SUM),
    aten.mean.dim: _reduction(_CODE.MEAN),
    aten.transpose.int: _transpose,
    aten.permute.default: _permute,
    aten.pad.default: _pad,
}
