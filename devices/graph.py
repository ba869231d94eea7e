"""A file's graph, whatever engine it is for: nodes in the order they run in, and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from smalti.runtime.artifact import open_artifact
from smalti.runtime.contents import map_file

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """One operator; `op` by its name in ONNX, with `smalti.` before ours.

    inputs: names, empty for one left out. layer: the module it comes from, if the file says.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    layer: str = ""


class Value(NamedTuple):
    """What flows along an edge: its shape, and the bits of one element."""

    shape: Shape
    bits: int

    @property
    def elements(self) -> int:
        """How many numbers."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return (self.elements * self.bits + 7) // 8


@dataclass(frozen=True)
class Graph:
    """A whole file. constants: bytes of stored tensors, by name; bytes: size of the file.

    values: of every edge. A value whose shape the file does not tell is not among them.
    """

    path: Path
    nodes: list[Node]
    values: Mapping[str, Value]
    constants: Mapping[str, memoryview]
    outputs: tuple[str, ...]
    bytes: int


def open_graph(path: str | Path, sizes: Mapping[str, int] | None = None) -> Graph:
    """Read the graph of a file.

    sizes: of free dimensions, by name; else those of the inputs that the file was exported with,
    or 1. A TFLite file has no free dimensions.

    Raises:
        FileError: the file is missing, damaged or too new.
    """
    artifact = open_artifact(path)
    constants = {name: tensor.data for name, tensor in artifact.tensors.items()}
    view = map_file(artifact.path)
    if artifact.engine == "tflite":
        from smalti.devices.tflite_graph import read_graph

        nodes, values, outputs = read_graph(view)
    else:
        from smalti.devices.onnx_graph import read_onnx_graph

        inputs = artifact.manifest.get("inputs", {})
        shapes = {name: tuple(entry["shape"]) for name, entry in inputs.items()}
        nodes, values, outputs = read_onnx_graph(view, shapes, sizes or {})
    return Graph(artifact.path, nodes, values, constants, outputs, artifact.bytes)
