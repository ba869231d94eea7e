"""Finds the layer where two files part."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from smalti.export.onnx import LAYER_KEY
from smalti.export.verify import relative_error
from smalti.runtime.errors import FileError
from smalti.runtime.session import Session

Feed = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """How far a layer's output in B is from the same layer's in A, relative to A's size."""

    layer: str
    error: float


def compare(a: str | Path, b: str | Path, feed: Feed) -> list[Difference]:
    """Compare all layers that both files name, in A's order, then the outputs.

    Raises:
        FileError: a file does not load, or the two share nothing.
    """
    found_a, found_b = _layer_outputs(Path(a), feed), _layer_outputs(Path(b), feed)
    shared = [name for name in found_a if name in found_b]
    if not shared:
        raise FileError(f"{a} and {b} have no layer and no output in common")
    return [Difference(name, relative_error(found_b[name], found_a[name])) for name in shared]


def _layer_outputs(path: Path, feed: Feed) -> dict[str, NDArray[Any]]:
    """Run a copy of the model with every layer's last value as an output."""
    Session(path)  # says clearly what is wrong with the file, before we take it apart
    model = ir.load(path)
    layers = {name: value for name, value in _last_values(model.graph).items() if value.name}
    outputs = list(model.graph.outputs)
    taps = [v for v in layers.values() if v not in outputs]
    model.graph.outputs.extend(taps)
    ir.external_data.load_to_model(model)
    with tempfile.TemporaryDirectory() as folder:
        tapped = Path(folder) / "tapped.onnx"
        ir.save(model, tapped)
        session = Session(tapped, threads=1)
        values = session.run(**feed)
    by_name = dict(zip((p.name for p in session.outputs), values, strict=True))
    found = {name: by_name[value.name] for name, value in layers.items() if value.name in by_name}
    named = {f"output {i}": by_name[v.name] for i, v in enumerate(outputs) if v.name}
    return {**found, **named}


def _last_values(graph: ir.Graph) -> dict[str, ir.Value]:
    """The value that leaves each layer: the output of its last node."""
    last: dict[str, ir.Value] = {}
    for node in graph:
        layer = node.metadata_props.get(LAYER_KEY)
        if layer and node.outputs[0].dtype == ir.DataType.FLOAT:
            last.pop(layer, None)  # keep the order in which layers end
            last[layer] = node.outputs[0]
    return last


def first_departure(differences: list[Difference], limit: float) -> Difference | None:
    """Return the first layer that is off by more than the limit."""
    return next((d for d in differences if not d.error <= limit), None)
