"""Writes small `.onnx` models without the onnx package, to time an engine's operators.

The wire format is Protocol Buffers'; field numbers are those of onnx.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

_IR_VERSION, _OPSET = 10, 21
_FLOAT = 1
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7, "float16": 10}
_DOMAINS = {"": _OPSET, "com.microsoft": 1, "smalti": 1}

Attribute = int | float | Sequence[int]


@dataclass
class Model:
    """A model of one input `x`, float32, whose last node's first output is the output."""

    shape: Sequence[int]
    nodes: list[bytes] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    last: str = "x"

    def store(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant; return its name."""
        dims = b"".join(_number(1, size) for size in array.shape)
        kind = _number(2, _TYPES[str(array.dtype)])
        self.stored.append(dims + kind + _bytes(8, name.encode()) + _bytes(9, array.tobytes()))
        return name

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Attribute) -> str:
        """Add a node on these inputs; return its output, which becomes the model's."""
        self.last = f"y{len(self.nodes)}"
        ends = b"".join(_bytes(1, name.encode()) for name in inputs) + _text(2, self.last)
        given = b"".join(_bytes(5, _attribute(*pair)) for pair in attributes.items())
        self.nodes.append(ends + _text(3, self.last) + _text(4, op) + given + _text(7, domain))
        return self.last

    def to_bytes(self) -> bytes:
        """Return the file."""
        graph = b"".join(_bytes(1, node) for node in self.nodes) + _text(2, "probe")
        graph += b"".join(_bytes(5, tensor) for tensor in self.stored)
        graph += _bytes(11, _value("x", self.shape)) + _bytes(12, _value(self.last, None))
        opsets = b"".join(_bytes(8, _text(1, d) + _number(2, v)) for d, v in _DOMAINS.items())
        return _number(1, _IR_VERSION) + _bytes(7, graph) + opsets


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _value(name: str, shape: Sequence[int] | None) -> bytes:
    dims = b"" if shape is None else b"".join(_bytes(1, _number(1, size)) for size in shape)
    sizes = b"" if shape is None else _bytes(2, dims)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _FLOAT) + sizes))


def _attribute(name: str, value: Attribute) -> bytes:
    """Kinds are 1 for a float, 2 for an integer, 7 for integers."""
    if isinstance(value, float):
        return _text(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, v) for v in value) + _number(20, 7)
