"""What the readers of files have in common: a mapped file, and what was found in it."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any, NamedTuple

from smalti.runtime.errors import FileError

MANIFEST_KEY = "smalti"
DOMAIN = "smalti"


class Contents(NamedTuple):
    """What a reader found: `bytes` with all files, `native_nodes` that want our library.

    quantized: names of tensors whose numbers the engine scales. beside: names of other files in
    its folder that hold tensors.
    """

    manifest: dict[str, Any]
    tensors: dict[str, memoryview]
    native_nodes: int
    bytes: int
    quantized: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def map_file(path: Path) -> memoryview:
    """Map a file into memory.

    Raises:
        FileError: it cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}; check the path") from None
    except ValueError:
        raise FileError(f"{path}: the file is empty; export it again") from None


def parse_manifest(text: str) -> dict[str, Any]:
    """Return the manifest.

    Raises:
        ValueError: it is not JSON, or no table.
    """
    try:
        manifest = json.loads(text)
    except RecursionError:
        raise ValueError("its manifest is nested too deeply") from None
    if not isinstance(manifest, dict):
        raise ValueError("its manifest is no table")
    return manifest
