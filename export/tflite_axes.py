"""What cuts, joins and sums tensors along an axis, as TensorFlow Lite has it."""

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


def _sum(writer: _Writer, node: fx.Node) -> None:
    x, axes, keep = _arguments(node, None, None, False)
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    inputs = [writer.value(x), _numbers(writer, f"{node.name}.axes", list(axes))]
    writer.builtin(node, _CODE.SUM, inputs, options)


WRITERS: dict[Any, Callable[[_Writer, fx.Node], None]] = {
    aten.slice.Tensor: _slice,
    aten.select.int: _select,
    aten.cat.default: _cat,
    aten.sum.dim_IntList: _sum,
}
