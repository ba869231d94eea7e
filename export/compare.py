"""Finds the layer where two files part."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smalti.export.verify import relative_error
from smalti.runtime.artifact import Artifact
from smalti.runtime.errors import FileError
from smalti.runtime.session import Session

Feed = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Difference:
    """How far a layer's output in B is from the same layer's in A, relative to A's size."""

    layer: str
    error: float


def compare(a: str | Path, b: str | Path, feed: Feed) -> list[Difference]:
    """Compare all layers that both files name, in A's order, then the outputs.

    The files may be of two engines.

    Raises:
        FileError: a file does not load, or the two share nothing.
    """
    found_a, found_b = _layer_outputs(Path(a), feed), _layer_outputs(Path(b), feed)
    shared = [name for name in found_a if name in found_b]
    if not shared:
        raise FileError(f"{a} and {b} have no layer and no output in common")
    return [Difference(name, _error(found_b[name], found_a[name])) for name in shared]


def _error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """LiteRT's own convolutions have the channels last, and its converter merges axes."""
    errors = [relative_error(found, expected)]
    if found.size == expected.size:
        errors.append(relative_error(found.reshape(-1), expected.reshape(-1)))
    if found.ndim == expected.ndim == 4:
        errors.append(relative_error(np.moveaxis(found, -1, 1), expected))
        errors.append(relative_error(found, np.moveaxis(expected, -1, 1)))
    return min(errors)


def _layer_outputs(path: Path, feed: Feed) -> dict[str, NDArray[Any]]:
    """Run the model and return what leaves each layer, then its outputs."""
    session = Session(path)  # says clearly what is wrong with the file, before we take it apart
    fits = session.feed((), feed)
    if session.artifact.engine == "tflite":
        return _tflite_outputs(session.artifact, fits)
    return _onnx_outputs(path, fits)


def _onnx_outputs(path: Path, feed: Feed) -> dict[str, NDArray[Any]]:
    """Run a copy of the model with every layer's last value as an output."""
    import onnx_ir as ir

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


def _last_values(graph: Any) -> dict[str, Any]:
    """The value that leaves each layer: the output of its last node."""
    import onnx_ir as ir

    from smalti.export.onnx import LAYER_KEY

    last: dict[str, ir.Value] = {}
    for node in graph:
        layer = node.metadata_props.get(LAYER_KEY)
        if layer and node.outputs[0].dtype == ir.DataType.FLOAT:
            last.pop(layer, None)  # keep the order in which layers end
            last[layer] = node.outputs[0]
    return last


def _tflite_outputs(artifact: Artifact, feed: Feed) -> dict[str, NDArray[Any]]:
    """Run the model with all its tensors kept."""
    from smalti.export.tflite_model import TFLiteModel
    from smalti.runtime.tflite_engine import TFLiteEngine

    engine = TFLiteEngine(artifact, 1, "require", preserve=True)
    outputs = engine.run(feed)
    last: dict[str, str] = {}
    for name in TFLiteModel.read(artifact.path.read_bytes()).computed():
        layer = name.rpartition(".")[0]
        last.pop(layer, None)
        last[layer] = name
    found = {layer: engine.tensor(name) for layer, name in last.items() if layer}
    named = {f"output {i}": value for i, value in enumerate(outputs)}
    return {**found, **named}


def first_departure(differences: list[Difference], limit: float) -> Difference | None:
    """Return the first layer that is off by more than the limit."""
    return next((d for d in differences if not d.error <= limit), None)
