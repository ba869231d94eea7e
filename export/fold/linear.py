"""Modules that are affine along one axis, whatever they do inside, as one Linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from smalti.export.fold.affine import (
    AlongAxis,
    Basis,
    dense,
    is_affine,
    keeps_others,
    takes_other_lengths,
)
from smalti.export.fold.parts import Call, Folded, FoldError, exchange, kept, record, size_of

KIND = "affine module"


def fold_linears_(root: nn.Module, inputs: Sequence[Tensor]) -> list[Folded]:
    """Fold the outermost modules that are affine along their last axis, or the one before it.

    LoRA, PiSSA, SVFT and FourierFT beside a Linear layer, fixed orthogonal transforms, normalized
    weights: any class outside torch.nn with trained weights or stored matrices, one tensor in and
    one out, of a fixed length, where one dense matrix takes no more bytes. Evaluated on the unit
    vectors in float64, and held against random probes of several magnitudes.
    """
    parts = {name: part for name, part in root.named_modules() if name and _may_fold(part)}
    calls = record(root, inputs, parts.values()) if parts else {}
    found: list[Folded] = []
    done: list[str] = []
    for name, part in parts.items():
        if any(name.startswith(f"{outer}.") for outer in done):
            continue
        row = _folded(root, name, part, calls[part])
        if row:
            found.append(row)
        if row and not row.reason:
            done.append(name)
    return found


def fold_linear_(
    root: nn.Module, name: str, example_inputs: Sequence[Tensor], axis: int = -1
) -> Folded:
    """Fold the module of that name into one Linear layer along an axis, in place, at any size.

    For what `fold_` leaves alone: bases without weights (DCT, interpolation of knots, truncated
    spectra), which become a `Basis`, and products that a dense matrix makes larger.

    Raises:
        FoldError: the module is not affine along that axis, or has to stay where it is.
    """
    part = root.get_submodule(name)
    calls = record(root, example_inputs, [part])[part]
    if not _is_simple(calls):
        raise FoldError(
            f"layer {name}: give example inputs for which it takes one float tensor and gives one"
        )
    layer = dense(part, calls[0], axis)
    if layer is None:
        raise FoldError(
            f"layer {name} is not affine along axis {axis} in float64; give another axis, or fold "
            "what is inside it"
        )
    row = exchange(root, name, KIND, part, layer, calls)
    if row.reason:
        raise FoldError(f"layer {name}: {row.reason}")
    return row


def _may_fold(part: nn.Module) -> bool:
    """It holds matrices, and is not a mere wrapper of one Linear layer that can be quantized."""
    if type(part).__module__.startswith("torch.nn.") or isinstance(part, Basis | AlongAxis):
        return False
    if not any(t.dim() >= 2 for t in [*part.parameters(), *part.buffers()]):
        return False
    linears = [m for m in part.modules() if type(m) is nn.Linear and not m.weight.is_complex()]
    return len(linears) != 1 or size_of(*linears) < size_of(part)


def _folded(root: nn.Module, name: str, part: nn.Module, calls: Sequence[Call]) -> Folded | None:
    """Report what became of an affine module; None for others."""
    axes = [axis for axis in (-1, -2) if _is_simple(calls) and keeps_others(calls[0], axis)]
    if not axes or not is_affine(part, calls[0]):
        return None
    axes = [axis for axis in axes if not takes_other_lengths(part, calls[0], axis)]
    reason = ""
    for axis in axes:
        size = _dense_size(calls[0], axis)
        if size > size_of(part):
            reason = reason or f"its parts are smaller than a dense matrix of {size} bytes"
            continue
        layer = dense(part, calls[0], axis)
        if layer is not None:
            return exchange(root, name, KIND, part, layer, calls)
    return kept(name, KIND, part, reason) if reason else None


def _is_simple(calls: Sequence[Call]) -> bool:
    """Called with one float tensor that gave another."""
    return bool(calls) and all(
        len(call.args) == 1 and not call.kwargs and _is_float(call.args[0], call.output)
        for call in calls
    )


def _is_float(*values: Any) -> bool:
    return all(isinstance(v, Tensor) and v.is_floating_point() and v.dim() for v in values)


def _dense_size(call: Call, axis: int) -> int:
    y: Tensor = call.output
    return int(call.args[0].shape[axis]) * int(y.shape[axis]) * y.element_size()
