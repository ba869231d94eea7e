"""Swaps the layers of a module for quantized ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from torch import nn

from smalti.quant.hessian import Hessian
from smalti.quant.jobs import Task, quantize_all
from smalti.quant.matrix import Quantized
from smalti.quant.plan import Plan, PlanError
from smalti.quant.targets import (
    kind_of,
    layers_with_weights,
    replacement,
    weight_of,
    why_not,
)
from smalti.runtime.format import AnyFormat
from smalti.runtime.ops.binary_conv.module import PackedBinaryConv2d

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LayerReport:
    """What became of one layer: its format, or the reason why it stays in float.

    error: ||W' - W||^2 / ||W||^2; drop: the predicted loss of the model's outputs, 0 without
    calibration.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    format: str
    bytes: int
    bits_per_weight: float
    error: float
    drop: float = 0.0
    reason: str = ""


def quantize_(
    module: nn.Module,
    plan: Plan | str | Mapping[str, str],
    hessians: Mapping[str, Hessian] | None = None,
    *,
    rounding: str | None = None,
    learned: bool = False,
    activations: str = "int8",
    jobs: int = 1,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> list[LayerReport]:
    """Quantize the layers of `module` in place.

    plan: a format for all layers (`"vq-2x64-g128"`), or globs of layer names and formats.
    hessians: what `estimate` has collected, by layer; with them biases make up for the mean error.
    rounding: `nearest`, `ldlq` or `yaqa`; by default `yaqa` with Hessians, `nearest` without.
    learned: fit each matrix a codebook of its own, in place of the format's grid.
    activations: `int8` (fast) or `float` (exact) at run time. jobs: layers at once, by joblib,
    on whichever backend `joblib.parallel_config` has chosen. resume: a folder that keeps finished
    layers; a call that was cut off goes on from there. `progress(layer, i, count)` is called after
    each layer. Weights that were tied stay tied.

    Returns:
        One report a layer, also for those that stay in float, or have one bit already.

    Raises:
        FormatError, PlanError: the plan does not read, or does not fit.
        WeightError: a weight is not finite; the message names its layer.
        ValueError: unknown `activations` or `rounding`, or feedback without Hessians.
    """
    if activations not in ("int8", "float"):
        raise ValueError(f"activations={activations!r}; use 'int8' or 'float'")
    rounding = rounding or ("yaqa" if hessians else "nearest")
    chosen, layers = Plan.of(plan), dict(layers_with_weights(module))
    if kind_of(module):
        raise PlanError(
            f"a {type(module).__name__} cannot be replaced in place; wrap it, as in "
            "nn.Sequential(layer)"
        )
    chosen.check([name for name in layers if kind_of(layers[name])])
    reasons = {name: _why_float(layer, chosen.format_of(name)) for name, layer in layers.items()}
    tasks = _tasks(layers, chosen, reasons, rounding, learned)
    results = quantize_all(list(tasks.values()), hessians or {}, jobs, resume)
    found = _run(tasks, results, progress)
    _swap(module, layers, reasons, tasks, found, activations == "int8")
    return [
        _float_report(name, layer, reasons[name])
        if reasons[name] is not None
        else _packed_report(name, layer, found[id(weight_of(layer))])
        for name, layer in layers.items()
    ] + _binary_reports(module)


def _why_float(layer: nn.Module, form: AnyFormat | None) -> str | None:
    """Return the reason why a layer stays in float, None if it does not."""
    if form is None:
        return "the plan keeps it in float"
    return why_not(layer, form) or None


def _tasks(
    layers: Mapping[str, nn.Module],
    plan: Plan,
    reasons: Mapping[str, str | None],
    rounding: str,
    learned: bool,
) -> dict[int, Task]:
    """By identity of the weight, so that tied weights are quantized once."""
    tasks: dict[int, Task] = {}
    for name, layer in layers.items():
        form = plan.format_of(name)
        if form is not None and reasons[name] is None:
            task = Task(name, layer, form, rounding, learned)
            tasks.setdefault(id(weight_of(layer)), task)
    return tasks


def _run(
    tasks: Mapping[int, Task], results: Iterable[Quantized], progress: Progress | None
) -> dict[int, Quantized]:
    found = {}
    for i, ((key, task), result) in enumerate(zip(tasks.items(), results, strict=True)):
        found[key] = result
        if progress:
            progress(task.name, i, len(tasks))
    return found


def _swap(
    module: nn.Module,
    layers: Mapping[str, nn.Module],
    reasons: Mapping[str, str | None],
    tasks: Mapping[int, Task],
    found: Mapping[int, Quantized],
    int8: bool,
) -> None:
    """Replace every occurrence, also of layers that stand in several places."""
    swapped = {}
    for name, layer in layers.items():
        if reasons[name] is None:
            key = id(weight_of(layer))
            shift = found[key].shift if tasks[key].layer is layer else None
            swapped[id(layer)] = replacement(layer, found[key].weight, shift, int8)
    for path, child in list(module.named_modules(remove_duplicate=False)):
        if id(child) in swapped:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, swapped[id(child)])


def _report(
    name: str, layer: nn.Module, form: str, size: int, error: float, drop: float, reason: str
) -> LayerReport:
    weight = weight_of(layer)
    bits = 8 * size / weight.numel()
    kind = type(layer).__name__
    return LayerReport(name, kind, tuple(weight.shape), form, size, bits, error, drop, reason)


def _float_report(name: str, layer: nn.Module, reason: str | None) -> LayerReport:
    return _report(name, layer, "float", weight_of(layer).nbytes, 0.0, 0.0, reason or "")


def _packed_report(name: str, layer: nn.Module, found: Quantized) -> LayerReport:
    packed = found.weight
    return _report(name, layer, str(packed.format), packed.bytes, packed.error, found.drop, "")


def _binary_reports(module: nn.Module) -> list[LayerReport]:
    found = []
    for name, layer in module.named_modules():
        if isinstance(layer, PackedBinaryConv2d):
            size, kind = layer.codes.nbytes, type(layer).__name__
            bits = 8 * size / prod(layer.shape)
            found.append(LayerReport(name, kind, layer.shape, "binary", size, bits, 0.0))
    return found
