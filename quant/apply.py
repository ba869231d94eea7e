"""Swaps the layers of a module for quantized ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from smalti.quant.layers import VQConv2d, VQEmbedding, VQLinear
from smalti.quant.plan import Plan, PlanError
from smalti.quant.weight import PackedWeight, WeightError, quantize_weight
from smalti.runtime.format import Format

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LayerReport:
    """What became of one layer: its format, or the reason why it stays in float."""

    name: str
    kind: str
    shape: tuple[int, ...]
    format: str
    bytes: int
    bits_per_weight: float
    error: float
    reason: str = ""


def quantize_(
    module: nn.Module,
    plan: Plan | str | Mapping[str, str],
    *,
    activations: str = "int8",
    progress: Progress | None = None,
) -> list[LayerReport]:
    """Quantize the layers of `module` in place, without data.

    plan: a format for all layers (`"vq-2x64-g128"`), or globs of layer names and formats.
    activations: `int8` (fast) or `float` (exact) at run time. `progress(layer, i, count)` is
    called before each layer. Weights that were tied stay tied.

    Returns:
        One report a layer, also for those that stay in float.

    Raises:
        FormatError, PlanError: the plan does not read, or does not fit.
        WeightError: a weight is not finite; the message names its layer.
        ValueError: `activations` is neither int8 nor float.
    """
    if activations not in ("int8", "float"):
        raise ValueError(f"activations={activations!r}; use 'int8' or 'float'")
    chosen, layers = Plan.of(plan), dict(_layers_with_weights(module))
    if _kind(module):
        raise PlanError(
            f"a {type(module).__name__} cannot be replaced in place; wrap it, as in "
            "nn.Sequential(layer)"
        )
    chosen.check([name for name in layers if _kind(layers[name])])
    packed: dict[int, PackedWeight] = {}  # by identity of the parameter: tied weights stay tied
    swapped: dict[int, nn.Module] = {}
    reports = []
    for i, (name, layer) in enumerate(layers.items()):
        if progress:
            progress(name, i, len(layers))
        form = chosen.format_of(name)
        reason = _why_not(layer, form)
        if form is None or reason:
            reports.append(_float_report(name, layer, reason))
            continue
        weight = _pack(name, layer, form, packed)
        swapped[id(layer)] = _replacement(layer, weight, activations == "int8")
        reports.append(_packed_report(name, layer, weight))
    _swap(module, swapped)
    return reports


def _layers_with_weights(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that own a matrix, also those that smalti cannot quantize."""
    for name, child in module.named_modules():
        if any(parameter.dim() >= 2 for parameter in child.parameters(recurse=False)):
            yield name, child


def _weight(layer: nn.Module) -> Tensor:
    return next(p for p in layer.parameters(recurse=False) if p.dim() >= 2)


def _matrix(layer: nn.Module) -> Tensor:
    """(rows, columns): a convolution's kernels are rows."""
    return _weight(layer).flatten(1)


def _kind(layer: nn.Module) -> str:
    """Linear, Conv2d or Embedding; empty for anything else, subclasses too."""
    exact = (nn.Linear, nn.Conv2d, nn.Embedding)
    return type(layer).__name__ if type(layer) in exact else ""


def _why_not(layer: nn.Module, form: Format | None) -> str:
    """Return the reason why a layer stays in float, or nothing."""
    if form is None:
        return "the plan keeps it in float"
    if not _kind(layer):
        return f"no quantized layer for {type(layer).__name__}"
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return f"a convolution of {layer.groups} groups has too few weights to gain"
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        return f"padding mode {layer.padding_mode}; only zeros are supported"
    if isinstance(layer, nn.Embedding) and layer.max_norm is not None:
        return "max_norm rescales rows at run time"
    weight = _matrix(layer)
    size = form.packed_bytes(*weight.shape)
    if size * 2 > weight.numel() * 4:
        return f"too narrow: {size} bytes packed, {weight.numel() * 4} in float"
    return ""


def _pack(
    name: str, layer: nn.Module, form: Format, packed: dict[int, PackedWeight]
) -> PackedWeight:
    key = id(_weight(layer))
    if key not in packed:
        try:
            packed[key] = quantize_weight(_matrix(layer), form)
        except WeightError as error:
            raise WeightError(f"layer {name}: {error}") from None
    return packed[key]


def _replacement(layer: nn.Module, weight: PackedWeight, int8: bool) -> nn.Module:
    if isinstance(layer, nn.Linear):
        return VQLinear(weight, layer, int8)
    if isinstance(layer, nn.Conv2d):
        return VQConv2d(weight, layer, int8)
    return VQEmbedding(weight)


def _swap(module: nn.Module, swapped: dict[int, nn.Module]) -> None:
    """Replace every occurrence, also of layers that stand in several places."""
    for path, child in list(module.named_modules(remove_duplicate=False)):
        if id(child) in swapped:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, swapped[id(child)])


def _report(
    name: str, layer: nn.Module, form: str, size: int, error: float, reason: str
) -> LayerReport:
    weight = _weight(layer)
    bits = 8 * size / weight.numel()
    kind = type(layer).__name__
    return LayerReport(name, kind, tuple(weight.shape), form, size, bits, error, reason)


def _float_report(name: str, layer: nn.Module, reason: str) -> LayerReport:
    return _report(name, layer, "float", _weight(layer).nbytes, 0.0, reason)


def _packed_report(name: str, layer: nn.Module, packed: PackedWeight) -> LayerReport:
    form = str(packed.header.format)
    return _report(name, layer, form, packed.bytes, packed.error, "")
