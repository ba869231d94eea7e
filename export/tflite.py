"""A Torch module as one `.tflite` file that says what it is and has been run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from smalti.export.complex import in_reals
from smalti.export.files import written_whole
from smalti.export.fold.knots import KnotMatrices
from smalti.export.functions import ConversionError
from smalti.export.manifest import argument_names, describe
from smalti.export.quiet import quiet
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
from smalti.runtime.errors import MissingRuntimeError, SmaltiError
from smalti.runtime.format import BlockFormat

if TYPE_CHECKING:
    from smalti.export.tflite_model import TFLiteModel

_WITH_WEIGHTS = (torch.nn.Linear, torch.nn.Conv2d)
MIN_ENGINE = {"native": "ai-edge-litert 2.3"}
ENGINE_REASON = "by LiteRT's quantizer"
ENGINE_TOLERANCE = 1.0  # what the engine's own quantizer may change: anything but nonsense

Progress = Callable[[str], None]


def export_tflite(
    module: torch.nn.Module,
    args: tuple[torch.Tensor, ...],
    path: str | Path,
    *,
    layers: Sequence[LayerReport] = (),
    engine_formats: Mapping[str, BlockFormat] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    progress: Progress = lambda stage: None,
) -> list[float]:
    """Export a module, quantized or not, run the file in LiteRT and compare it with the module.

    args: example inputs, whose shapes the file will have. layers: what `quantize_` returned, for
    the manifest. engine_formats: layers still in float that the engine's quantizer is to store in
    integers.

    Returns:
        The relative error of every output against the module.

    Raises:
        CheckError: the file does not give what the module gives; nothing is written.
        ConversionError: an operation that LiteRT or the converter does not have.
        MissingRuntimeError: the packages that write `.tflite` files are not installed.
    """
    path = Path(path)
    inputs = list(input_names or argument_names(module, len(args)))
    with evaluating(module), written_whole(path) as draft:
        progress("converting")
        with KnotMatrices(), in_reals(module, args):
            model = _lower(module, args)
        model.name_ports(inputs, output_names)
        progress("verifying")
        with model.float_activations(), float_activations(module):
            draft.write_bytes(model.to_bytes())
            errors = verify(draft, module, args, FLOAT_TOLERANCE)
        tolerance = INT8_TOLERANCE if rounding_layers(module) else FLOAT_TOLERANCE
        if engine_formats:
            progress("quantizing in the engine's formats")
            called = _called(module, args)
            model, layers = _quantized(model, engine_formats, called, layers)
            tolerance = ENGINE_TOLERANCE
        examples = dict(zip(inputs, args, strict=True))
        text = describe(layers, examples, model.stored(), MIN_ENGINE, "none")
        model.set_metadata(MANIFEST_KEY, text)
        draft.write_bytes(model.to_bytes())
        if tolerance > FLOAT_TOLERANCE:
            errors = verify(draft, module, args, tolerance)
        return errors


def _lower(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> TFLiteModel:
    """By the converter; without it by the direct writer, which knows fewer operators."""
    _check_writer()
    if find_spec("litert_torch") is None:
        from smalti.export.tflite_direct import write

        return write(module, args)
    try:
        with quiet():
            from smalti.export.tflite_convert import convert

            return convert(module, args)
    except SmaltiError:
        raise
    except Exception as error:  # Torch and the converter raise whatever they like
        reason = str(error).strip().partition("\n")[0]
        raise ConversionError(
            f"litert-torch cannot convert the model: {type(error).__name__}: {reason}; change that "
            "operation, or export to .onnx"
        ) from error


def _check_writer() -> None:
    for package in ("ai_edge_litert", "flatbuffers"):
        if find_spec(package) is None:
            raise MissingRuntimeError(
                f"writing .tflite files needs {package}; pip install 'smalti[tflite-export]'"
            )


def _called(
    module: torch.nn.Module, args: tuple[torch.Tensor, ...]
) -> list[tuple[str, torch.Size]]:
    """Layers with weights in float and the shapes of these, in the order of their calls."""
    names: dict[torch.nn.Module, str] = {
        layer: name for name, layer in module.named_modules() if isinstance(layer, _WITH_WEIGHTS)
    }
    found = []

    def note(layer: torch.nn.Module, _: object) -> None:
        found.append((names[layer], layer.get_parameter("weight").shape))

    handles = [layer.register_forward_pre_hook(note) for layer in names]
    with torch.no_grad():
        module(*args)
    for handle in handles:
        handle.remove()
    return found


def _quantized(
    model: TFLiteModel,
    formats: Mapping[str, BlockFormat],
    called: Sequence[tuple[str, torch.Size]],
    layers: Sequence[LayerReport],
) -> tuple[TFLiteModel, list[LayerReport]]:
    """By LiteRT's quantizer; the reports say what it made of the layers."""
    with quiet():
        from smalti.export.tflite_quantize import quantized

        found, stored = quantized(model, formats, called)
    reports = {layer.name: layer for layer in layers}
    for name, (size, error) in stored.items():
        if name in reports:
            reports[name] = replace(
                reports[name],
                format=str(formats[name]),
                bytes=size,
                bits_per_weight=8 * size / prod(reports[name].shape),
                error=error,
                reason=ENGINE_REASON,
            )
    return found, list(reports.values())
