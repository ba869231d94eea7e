"""Reads an exported file and checks it before an engine does, without the engine's package."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from smalti.runtime.contents import MANIFEST_KEY, Contents, map_file
from smalti.runtime.errors import FileError
from smalti.runtime.onnx_file import read_onnx

__all__ = ["MANIFEST_KEY", "MANIFEST_VERSION", "Artifact", "StoredTensor", "open_artifact"]

MANIFEST_VERSION = 1
TFLITE_IDENTIFIER = b"TFL3"

Engine = Literal["onnx", "tflite"]


@dataclass(frozen=True)
class StoredTensor:
    """One constant: its bytes, inside the file or in an external one."""

    name: str
    data: memoryview

    @property
    def sha256(self) -> str:
        """Digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Artifact:
    """A checked file. `manifest` is empty for a model that smalti did not export.

    beside: names of other files in its folder that hold tensors.
    """

    path: Path
    engine: Engine
    manifest: dict[str, Any]
    tensors: dict[str, StoredTensor]
    native_nodes: int
    bytes: int
    quantized: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def damaged(self) -> list[str]:
        """Names of tensors whose bytes are not those that were exported, or are gone."""
        expected = self.manifest.get("tensors", {})
        found = {name: tensor.sha256 for name, tensor in self.tensors.items()}
        return [name for name, digest in expected.items() if found.get(name) != digest]


def open_artifact(path: str | Path) -> Artifact:
    """Read and check a file, of the kind that its first bytes tell.

    Raises:
        FileError: missing, truncated, malformed, neither ONNX nor TFLite, with external data
            outside its folder, or from a newer smalti.
    """
    path = Path(path)
    view = map_file(path)
    engine, contents = _read(path, view)
    _check_version(path, contents.manifest)
    tensors = {name: StoredTensor(name, data) for name, data in contents.tensors.items()}
    return Artifact(path, engine, **contents._asdict() | {"tensors": tensors})


def _read(path: Path, view: memoryview) -> tuple[Engine, Contents]:
    if bytes(view[4:8]) == TFLITE_IDENTIFIER:
        return "tflite", _read_tflite(path, view)
    try:
        return "onnx", read_onnx(path, view)
    except (ValueError, IndexError) as error:
        raise FileError(f"{path}: not a whole ONNX file ({error}); export it again") from None


def _read_tflite(path: Path, view: memoryview) -> Contents:
    # The tables of its schema take a while to build, and most processes read one kind of file.
    from smalti.runtime.tflite_file import read_tflite

    try:
        return read_tflite(view)
    except ValueError as error:
        raise FileError(f"{path}: not a sound TFLite file ({error}); export it again") from None


def _check_version(path: Path, manifest: dict[str, Any]) -> None:
    version = manifest.get("manifest", MANIFEST_VERSION)
    if not isinstance(version, int) or version > MANIFEST_VERSION:
        raise FileError(
            f"{path}: manifest version {version} of smalti {manifest.get('smalti')}, this smalti "
            f"reads {MANIFEST_VERSION}; upgrade it"
        )
