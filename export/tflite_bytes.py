"""The bytes of a `.tflite` file: tables in front, data behind them at multiples of 64 bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 64  # bytes: kernels load whole cache lines, and LiteRT's other door insists on it


def unpack(content: bytes) -> Any:
    """Read a model; data that lies behind the tables comes into its buffers."""
    root = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in root.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return root


def pack(root: Any) -> bytes:
    """Write a model. Tables are packed twice: offsets are known once the size of the tables is."""
    placed = _take_data(root)
    start = _round_up(len(_tables(root)))
    blob = bytearray()
    for buffers, data in placed:
        blob.extend(bytes(_round_up(len(blob)) - len(blob)))
        for buffer in buffers:
            buffer.offset = start + len(blob)
        blob.extend(data)
    tables = _tables(root)
    for buffers, data in placed:
        for buffer in buffers:
            buffer.data, buffer.offset, buffer.size = np.frombuffer(data, np.uint8), 0, 0
    return tables + bytes(start - len(tables)) + bytes(blob)


def _take_data(root: Any) -> list[tuple[list[Any], bytes]]:
    """Take the data of all tensors out of their buffers; equal bytes are kept once."""
    used = {tensor.buffer for graph in root.subgraphs for tensor in graph.tensors}
    by_data: dict[bytes, list[Any]] = {}
    for i in sorted(used):
        buffer = root.buffers[i]
        if buffer.data is not None and len(buffer.data) > 0:
            data = np.asarray(buffer.data, np.uint8).tobytes()
            by_data.setdefault(data, []).append(buffer)
            buffer.data, buffer.offset, buffer.size = None, 1 << 40, len(data)
    return [(buffers, data) for data, buffers in by_data.items()]


def _tables(root: Any) -> bytes:
    builder = Builder(1 << 16)
    builder.Finish(root.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def _round_up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
