"""Reads an `.onnx` file without the onnx package.

Only what a device needs: the manifest, the tensors' names and bytes, and how many nodes want our
library. The wire format is Protocol Buffers'; field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smalti.runtime.contents import DOMAIN, MANIFEST_KEY, Contents, map_file, parse_manifest
from smalti.runtime.errors import FileError

_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER = 1, 5
_TENSOR_NAME, _RAW_DATA, _EXTERNAL = 8, 9, 13
_NODE_DOMAIN = 7
_BYTES = 2


def read_onnx(path: Path, view: memoryview) -> Contents:
    """Read the file at a path, which is mapped already.

    Raises:
        ValueError: it is truncated or no ONNX file.
        FileError: its external data lies outside its folder or is missing.
    """
    graph, manifest = _model(view)
    tensors, external, nodes = _graph(graph, path)
    return Contents(manifest, tensors, nodes, len(view) + external)


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, number or bytes)."""
    at = 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield number, value
            continue
        size, at = (8, at) if kind == 1 else (4, at) if kind == 5 else _length(view, at, kind)
        if size > len(view) - at:
            raise ValueError(f"field {number} wants {size} bytes, {len(view) - at} are left")
        yield number, view[at : at + size]
        at += size


def _length(view: memoryview, at: int, kind: int) -> tuple[int, int]:
    if kind != _BYTES:
        raise ValueError(f"wire type {kind}")
    return _varint(view, at)


def _only_bytes(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    return ((n, v) for n, v in _fields(view) if isinstance(v, memoryview))


def _text(value: memoryview) -> str:
    return bytes(value).decode()


def _pair(view: memoryview) -> tuple[str, str]:
    entries = dict(_only_bytes(view))
    return _text(entries.get(1, memoryview(b""))), _text(entries.get(2, memoryview(b"")))


def _model(view: memoryview) -> tuple[memoryview, dict[str, Any]]:
    graph: memoryview | None = None
    manifest: dict[str, Any] = {}
    for number, value in _only_bytes(view):
        if number == _GRAPH:
            graph = value
        elif number == _METADATA:
            key, text = _pair(value)
            manifest = parse_manifest(text) if key == MANIFEST_KEY else manifest
    if graph is None:
        raise ValueError("it has no graph")
    return graph, manifest


def _graph(view: memoryview, path: Path) -> tuple[dict[str, memoryview], int, int]:
    tensors: dict[str, memoryview] = {}
    files: dict[str, memoryview] = {}
    nodes = 0
    for number, value in _only_bytes(view):
        if number == _NODE:
            nodes += _text(dict(_only_bytes(value)).get(_NODE_DOMAIN, memoryview(b""))) == DOMAIN
        elif number == _INITIALIZER:
            name, data = _tensor(value, path, files)
            tensors[name] = data
    return tensors, sum(len(file) for file in files.values()), nodes


def _tensor(view: memoryview, path: Path, files: dict[str, memoryview]) -> tuple[str, memoryview]:
    name, data, where = "", view, {}
    for number, value in _only_bytes(view):
        if number == _TENSOR_NAME:
            name = _text(value)
        elif number == _RAW_DATA:
            data = value
        elif number == _EXTERNAL:
            key, text = _pair(value)
            where[key] = text
    return name, _external(name, where, path, files) if where else data


def _external(
    name: str, where: dict[str, str], path: Path, files: dict[str, memoryview]
) -> memoryview:
    location = where.get("location", "")
    if Path(location).name != location or not location:
        raise FileError(
            f"{path}: tensor {name} lies in {location!r}; external data has to lie beside the model"
        )
    if location not in files:
        files[location] = map_file(path.with_name(location))
    start, size = int(where.get("offset", "0")), int(where.get("length", "0"))
    if start < 0 or size < 0 or start + size > len(files[location]):
        raise ValueError(f"tensor {name} reaches beyond {location}")
    return files[location][start : start + size]
