"""Reads an `.onnx` file without the onnx package.

Only what a device needs: the manifest, the tensors' names and bytes, and how many nodes want our
library. The wire format is Protocol Buffers'; field numbers are those of onnx.proto.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smalti.runtime.contents import DOMAIN, MANIFEST_KEY, Contents, map_file, parse_manifest
from smalti.runtime.errors import FileError
from smalti.runtime.protobuf import only_bytes, pair, unicode

_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER = 1, 5
_TENSOR_NAME, _RAW_DATA, _EXTERNAL = 8, 9, 13
_NODE_DOMAIN = 7


def read_onnx(path: Path, view: memoryview) -> Contents:
    """Read the file at a path, which is mapped already.

    Raises:
        ValueError: it is truncated or no ONNX file.
        FileError: its external data lies outside its folder or is missing.
    """
    graph, manifest = _model(view)
    tensors, files, nodes = _graph(graph, path)
    size = len(view) + sum(len(file) for file in files.values())
    return Contents(manifest, tensors, nodes, size, beside=tuple(files))


def _model(view: memoryview) -> tuple[memoryview, dict[str, Any]]:
    graph: memoryview | None = None
    manifest: dict[str, Any] = {}
    for number, value in only_bytes(view):
        if number == _GRAPH:
            graph = value
        elif number == _METADATA:
            key, text = pair(value)
            manifest = parse_manifest(text) if key == MANIFEST_KEY else manifest
    if graph is None:
        raise ValueError("it has no graph")
    return graph, manifest


def _graph(
    view: memoryview, path: Path
) -> tuple[dict[str, memoryview], dict[str, memoryview], int]:
    """Tensors by name, external files by name, and how many nodes are ours."""
    tensors: dict[str, memoryview] = {}
    files: dict[str, memoryview] = {}
    nodes = 0
    for number, value in only_bytes(view):
        if number == _NODE:
            nodes += unicode(dict(only_bytes(value)).get(_NODE_DOMAIN, memoryview(b""))) == DOMAIN
        elif number == _INITIALIZER:
            name, data = _tensor(value, path, files)
            tensors[name] = data
    return tensors, files, nodes


def _tensor(view: memoryview, path: Path, files: dict[str, memoryview]) -> tuple[str, memoryview]:
    name, data, where = "", view, {}
    for number, value in only_bytes(view):
        if number == _TENSOR_NAME:
            name = unicode(value)
        elif number == _RAW_DATA:
            data = value
        elif number == _EXTERNAL:
            key, text = pair(value)
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
