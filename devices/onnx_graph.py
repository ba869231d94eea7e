"""The graph of an `.onnx` file. Field numbers are those of onnx.proto.

Shapes stand in the file (value_info), as the exporter writes them; free dimensions are names or
sums and products of names, such as `batch*sequence`.
"""

from __future__ import annotations

import ast
import operator
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from smalti.devices.graph import Node, Shape, Value
from smalti.runtime.contents import DOMAIN
from smalti.runtime.protobuf import fields, only_bytes, pair, unicode, varint

_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT, _VALUE = 1, 5, 11, 12, 13
_LAYER_KEY = "smalti.layer"
# Bits of an element by TensorProto.DataType; everything else is a float of 32.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64}
_BITS |= {16: 16, 21: 4, 22: 4, 25: 2, 26: 2}
_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
    ast.Mod: operator.mod,
}

Found = tuple[list[Node], dict[str, Value], tuple[str, ...]]
Message = dict[int, list[Any]]


def read_onnx_graph(
    view: memoryview, shapes: Mapping[str, Shape], sizes: Mapping[str, int]
) -> Found:
    """Return nodes, values and the names of the outputs.

    shapes: of the inputs, as exported; sizes: of free dimensions, by name.

    Raises:
        ValueError: the file is truncated.
    """
    graph = _message(next(v for n, v in only_bytes(view) if n == _GRAPH))
    named = dict(map(_value_info, graph[_INPUT] + graph[_OUTPUT] + graph[_VALUE]))
    free = {
        dim: size
        for name, shape in shapes.items()
        for dim, size in zip(named.get(name, ([], 0))[0], shape, strict=False)
        if isinstance(dim, str)
    } | dict(sizes)
    values = dict(map(_initializer, graph[_INITIALIZER]))
    for name, (dims, bits) in named.items():
        shape = [dim if isinstance(dim, int) else _evaluated(dim, free) for dim in dims]
        if all(size is not None for size in shape):
            values[name] = Value(tuple(size or 0 for size in shape), bits)
    outputs = tuple(_value_info(v)[0] for v in graph[_OUTPUT])
    return list(map(_node, graph[_NODE])), values, outputs


def _message(view: memoryview) -> Message:
    found: Message = defaultdict(list)
    for number, value in fields(view):
        found[number].append(value)
    return found


def _name(values: list[Any]) -> str:
    return unicode(values[0]) if values else ""


def _integers(values: list[Any]) -> Iterator[int]:
    """Numbers of a repeated field, packed or not; negative ones have all 64 bits."""
    for value in values:
        if isinstance(value, int):
            yield value - (1 << 64) if value >> 63 else value
            continue
        at = 0
        while at < len(value):
            number, at = varint(value, at)
            yield number - (1 << 64) if number >> 63 else number


def _initializer(view: memoryview) -> tuple[str, Value]:
    tensor = _message(view)
    return _name(tensor[8]), Value(tuple(_integers(tensor[1])), _BITS.get(tensor[2][0], 32))


def _value_info(view: memoryview) -> tuple[str, tuple[list[int | str], int]]:
    """Return name, dimensions and bits; a dimension without a name is `?`."""
    info = _message(view)
    kind = _message(info[2][0])[1] if info[2] else []
    if not kind:
        return _name(info[1]), (["?"], 32)
    tensor = _message(kind[0])
    shape = _message(tensor[2][0])[1] if tensor[2] else []
    dims: list[int | str] = [_dimension(_message(dim)) for dim in shape] if tensor[2] else ["?"]
    return _name(info[1]), (dims, _BITS.get(tensor[1][0], 32) if tensor[1] else 32)


def _dimension(dim: Message) -> int | str:
    return int(dim[1][0]) if dim[1] else _name(dim[2]) or "?"


def _evaluated(expression: str, free: Mapping[str, int]) -> int | None:
    """Return the size that a name or formula stands for; None if it cannot be known."""
    try:
        return _calculate(ast.parse(expression, mode="eval").body, free)
    except (SyntaxError, ValueError, KeyError, ZeroDivisionError, RecursionError):
        return None


def _calculate(node: ast.expr, free: Mapping[str, int]) -> int:
    if isinstance(node, ast.Name):
        return free.get(node.id, 1)
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.BinOp):
        calculate = _OPERATIONS[type(node.op)]
        return int(calculate(_calculate(node.left, free), _calculate(node.right, free)))
    raise ValueError(ast.dump(node))


def _node(view: memoryview) -> Node:
    node = _message(view)
    domain = _name(node[7])
    op = f"{DOMAIN}.{_name(node[4])}" if domain == DOMAIN else _name(node[4])
    notes = dict(map(pair, node[9]))
    attributes = dict(map(_attribute, node[5]))
    inputs, outputs = (tuple(map(unicode, names)) for names in (node[1], node[2]))
    return Node(op, inputs, outputs, attributes, notes.get(_LAYER_KEY, ""))


def _attribute(view: memoryview) -> tuple[str, Any]:
    """Return integers, floats and lists of integers; nothing else decides the work."""
    found = _message(view)
    if found[8]:
        return _name(found[1]), tuple(_integers(found[8]))
    if found[3]:
        return _name(found[1]), next(_integers(found[3]))
    if found[2]:
        return _name(found[1]), struct.unpack("<f", found[2][0])[0]
    return _name(found[1]), None
