"""Reads an exported `.onnx` file without the onnx package, and checks it before an engine does.

Only what a device needs: the manifest, the tensors' names, sizes and bytes, and how many nodes
want our library. The wire format is Protocol Buffers'; field numbers are those of onnx.proto.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smalti.runtime.errors import FileError

MANIFEST_KEY = "smalti"
MANIFEST_VERSION = 1
DOMAIN = "smalti"

_GRAPH, _METADATA = 7, 14
_NODE, _INITIALIZER, _INPUT = 1, 5, 11
_TENSOR_NAME, _RAW_DATA, _EXTERNAL, _LOCATION = 8, 9, 13, 14
_NODE_DOMAIN = 7
_BYTES = 2


@dataclass(frozen=True)
class StoredTensor:
    """One initializer: its bytes, inside the file or in an external one."""

    name: str
    data: memoryview

    @property
    def sha256(self) -> str:
        """Digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A checked file. `manifest` is empty for a model that smalti did not export."""

    path: Path
    manifest: dict[str, Any]
    tensors: dict[str, StoredTensor]
    native_nodes: int
    bytes: int

    def damaged(self) -> list[str]:
        """Names of tensors whose bytes are not those that were exported, or are gone."""
        expected = self.manifest.get("tensors", {})
        found = {name: tensor.sha256 for name, tensor in self.tensors.items()}
        return [name for name, digest in expected.items() if found.get(name) != digest]


def open_artifact(path: str | Path) -> Artifact:
    """Read and check a file.

    Raises:
        FileError: missing, truncated, not ONNX, with external data outside its folder, or from a
            newer smalti.
    """
    path = Path(path)
    view = _map(path)
    try:
        graph, manifest = _model(view)
        tensors, external, nodes = _graph(graph, path)
    except (ValueError, IndexError) as error:
        raise FileError(f"{path}: not a whole ONNX file ({error}); export it again") from None
    _check_version(path, manifest)
    return Artifact(path, manifest, tensors, nodes, len(view) + external)


def _map(path: Path) -> memoryview:
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}; check the path") from None
    except ValueError:
        raise FileError(f"{path}: the file is empty; export it again") from None


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
    manifest: Any = {}
    for number, value in _only_bytes(view):
        if number == _GRAPH:
            graph = value
        elif number == _METADATA:
            key, text = _pair(value)
            manifest = json.loads(text) if key == MANIFEST_KEY else manifest
    if graph is None:
        raise ValueError("it has no graph")
    if not isinstance(manifest, dict):
        raise ValueError("its manifest is no table")
    return graph, manifest


def _graph(view: memoryview, path: Path) -> tuple[dict[str, StoredTensor], int, int]:
    tensors: dict[str, StoredTensor] = {}
    files: dict[str, memoryview] = {}
    nodes = 0
    for number, value in _only_bytes(view):
        if number == _NODE:
            nodes += _text(dict(_only_bytes(value)).get(_NODE_DOMAIN, memoryview(b""))) == DOMAIN
        elif number == _INITIALIZER:
            tensor = _tensor(value, path, files)
            tensors[tensor.name] = tensor
    return tensors, sum(len(file) for file in files.values()), nodes


def _tensor(view: memoryview, path: Path, files: dict[str, memoryview]) -> StoredTensor:
    name, data, where = "", view, {}
    for number, value in _only_bytes(view):
        if number == _TENSOR_NAME:
            name = _text(value)
        elif number == _RAW_DATA:
            data = value
        elif number == _EXTERNAL:
            key, text = _pair(value)
            where[key] = text
    return StoredTensor(name, _external(name, where, path, files) if where else data)


def _external(
    name: str, where: dict[str, str], path: Path, files: dict[str, memoryview]
) -> memoryview:
    location = where.get("location", "")
    if Path(location).name != location or not location:
        raise FileError(
            f"{path}: tensor {name} lies in {location!r}; external data has to lie beside the model"
        )
    if location not in files:
        files[location] = _map(path.with_name(location))
    start, size = int(where.get("offset", "0")), int(where.get("length", "0"))
    if start < 0 or size < 0 or start + size > len(files[location]):
        raise ValueError(f"tensor {name} reaches beyond {location}")
    return files[location][start : start + size]


def _check_version(path: Path, manifest: dict[str, Any]) -> None:
    version = manifest.get("manifest", MANIFEST_VERSION)
    if not isinstance(version, int) or version > MANIFEST_VERSION:
        raise FileError(
            f"{path}: manifest version {version} of smalti {manifest.get('smalti')}, this smalti "
            f"reads {MANIFEST_VERSION}; upgrade it"
        )
