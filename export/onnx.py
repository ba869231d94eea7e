"""A Torch module as one ONNX file that says what it is and has been run."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import CommonSubexpressionEliminationPass

from smalti.export.complex import in_reals
from smalti.export.conventions import OURS, onnx_functions
from smalti.export.engine_nodes import ROUNDING, rounding_attributes
from smalti.export.fallback import FALLBACKS, add_fallbacks, smalti_nodes
from smalti.export.files import written_whole
from smalti.export.functions import Functions
from smalti.export.manifest import argument_names, describe
from smalti.export.translate import trace
from smalti.export.verify import (
    FLOAT_TOLERANCE,
    INT8_TOLERANCE,
    float_activations,
    rounding_layers,
    verify,
)
from smalti.quant.apply import LayerReport
from smalti.quant.modes import evaluating
from smalti.runtime.artifact import MANIFEST_KEY

LAYER_KEY = "smalti.layer"
MIN_ENGINE = {"native": "onnxruntime 1.19", "fallback": "onnxruntime 1.27"}
_IR_VERSION = 10
_EXTERNAL_ABOVE = 256 << 20  # bytes of weights; the engine maps external data, and copies the rest

Progress = Callable[[str], None]


def export_onnx(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    path: str | Path,
    *,
    layers: Sequence[LayerReport] = (),
    dynamic_shapes: tuple[Any, ...] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    fallback: str = "fold",
    native: Sequence[str] = (),
    external_above: int = _EXTERNAL_ABOVE,
    progress: Progress = lambda stage: None,
) -> list[float]:
    """Export a module, quantized or not, run the file and compare it with the module.

    args: example inputs, tensors. layers: what `quantize_` returned, for the manifest.
    dynamic_shapes: as `torch.onnx.export` takes them; dimensions keep their names. fallback: what
    engines without our library do: `fold` (decode at load), `nofold` (at every run), `none`.
    native: operators of ours in place of the engine's own, `GridSample` and `Resize`.
    Weights of more than `external_above` bytes go to `<path>.data`.

    Returns:
        The relative error of every output against the module.

    Raises:
        CheckError: the file does not give what the module gives; nothing is written.
        ConversionError: a call that means something else in the engine, or complex numbers that
            have no form in reals; names layer and mend.
        ValueError: an unknown fallback, or an operator that cannot be chosen.
    """
    if fallback not in FALLBACKS:
        raise ValueError(f"fallback={fallback!r}; use one of {', '.join(FALLBACKS)}")
    if unknown := sorted(set(native) - set(OURS)):
        raise ValueError(f"native={', '.join(unknown)}; choose from {', '.join(OURS)}")
    path = Path(path)
    names = list(input_names or argument_names(module, len(args)))
    with evaluating(module), written_whole(path) as draft:
        progress("tracing")
        with Functions(module, onnx_functions(native)), in_reals(module, args):
            model = trace(
                module,
                args,
                dynamic_shapes=dynamic_shapes,
                input_names=names,
                output_names=list(output_names) if output_names else None,
            ).model
        _clean(model)
        progress("deriving fallbacks")
        add_fallbacks(model, fallback)
        _add_manifest(model, layers, fallback, dict(zip(names, args, strict=True)))
        progress("verifying")
        with _rounding_off(module, model):
            _save(model, draft, external_above)
            errors = verify(draft, module, args, FLOAT_TOLERANCE)
        if rounding_layers(module):
            _save(model, draft, external_above)
            errors = verify(draft, module, args, INT8_TOLERANCE)
        return errors


@contextmanager
def _rounding_off(module: torch.nn.Module, model: ir.Model) -> Iterator[None]:
    """Switch the rounding of activations off, in the module and in the graph."""
    attributes = rounding_attributes(model)
    for node, name in attributes:
        node.attributes[name] = ir.AttrInt64(name, ROUNDING[name][1])
    try:
        with float_activations(module):
            yield
    finally:
        for node, name in attributes:
            node.attributes[name] = ir.AttrInt64(name, ROUNDING[name][0])


def _add_manifest(
    model: ir.Model, layers: Sequence[LayerReport], fallback: str, examples: dict[str, torch.Tensor]
) -> None:
    stored = {
        name: value.const_value.tobytes()
        for name, value in model.graph.initializers.items()
        if value.const_value is not None
    }
    text = describe(layers, examples, stored, MIN_ENGINE, fallback)
    model.metadata_props[MANIFEST_KEY] = text


def _clean(model: ir.Model) -> None:
    """Merge equal nodes; of the exporter's notes keep each node's layer."""
    CommonSubexpressionEliminationPass()(model)
    model.graph.metadata_props.clear()
    for node in model.graph:
        layer = _layer(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
        node.metadata_props.clear()
        node.doc_string = None
        if layer:
            node.metadata_props[LAYER_KEY] = layer
    for value in _values(model.graph):
        value.metadata_props.clear()
    model.ir_version = _IR_VERSION
    _name_nodes(model)


def _name_nodes(model: ir.Model) -> None:
    """Call smalti's nodes after their layers, each differently: the engine refuses a name twice."""
    used: Counter[str] = Counter()
    for node in smalti_nodes(model):
        name = f"{node.metadata_props.get(LAYER_KEY, 'model')}.{node.op_type}"
        node.name = f"{name}.{used[name]}" if used[name] else name
        used[name] += 1


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _layer(scopes: str) -> str:
    """Name of the innermost module; the last scope is the operation itself."""
    modules = ast.literal_eval(scopes)[:-1]
    return str(modules[-1]) if modules else ""


def _save(model: ir.Model, path: Path, external_above: int) -> None:
    size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value)
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)
    if size <= external_above:
        ir.save(model, path)
    else:
        ir.save(model, path, external_data=f"{path.name}.data", size_threshold_bytes=1024)
