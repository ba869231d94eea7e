"""Modules that are affine along one axis, whatever they do inside, as one Linear layer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from smalti.export.fold.parts import (
    Call,
    Folded,
    FoldError,
    exchange,
    kept,
    record,
    relative_error,
    size_of,
)

KIND = "affine module"
_LIMIT = 1e-6  # relative, of the probes
_SCALES = (1e-3, 1.0, 1e3, 1e6)  # of the probes: a clamp or a saturation shows at one of them


class Basis(nn.Linear):
    """A Linear layer that nothing has trained; quantization leaves it in float."""


class AlongAxis(nn.Module):
    """A Linear layer along another axis than the last."""

    def __init__(self, linear: nn.Linear, axis: int) -> None:
        super().__init__()
        self.linear, self.axis = linear, axis

    def forward(self, x: Tensor) -> Tensor:
        """x: any shape with the layer's inputs along the axis; it gives the outputs there."""
        y: Tensor = self.linear(x.transpose(self.axis, -1))
        return y.transpose(self.axis, -1)


def fold_linears_(root: nn.Module, inputs: Sequence[Tensor]) -> list[Folded]:
    """Fold the outermost modules that are affine along their last axis, or the one before it.

    LoRA, PiSSA, SVFT and FourierFT beside a Linear layer, fixed orthogonal transforms, normalized
    weights: any class outside torch.nn with trained weights or stored matrices, one tensor in and
    one out, where one dense matrix takes no more bytes. Evaluated on the unit vectors in float64,
    and held against random probes of several magnitudes.
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
        raise FoldError(f"layer {name}: give example inputs for which it takes one float tensor and gives one")
    dense = _dense(part, calls[0], axis)
    if dense is None:
        raise FoldError(
            f"layer {name} is not affine along axis {axis} in float64; give another axis, or fold "
            "what is inside it"
        )
    row = exchange(root, name, KIND, part, dense, calls)
    if row.reason:
        raise FoldError(f"layer {name}: {row.reason}")
    return row


def _may_fold(part: nn.Module) -> bool:
    """It holds matrices, and is not a mere wrapper of one Linear layer."""
    if type(part).__module__.startswith("torch.nn.") or isinstance(part, Basis | AlongAxis):
        return False
    if not any(t.dim() >= 2 for t in [*part.parameters(), *part.buffers()]):
        return False
    linears = [m for m in part.modules() if type(m) is nn.Linear]
    return len(linears) != 1 or size_of(*linears) < size_of(part)


def _folded(root: nn.Module, name: str, part: nn.Module, calls: Sequence[Call]) -> Folded | None:
    """Report what became of an affine module; None for others."""
    axes = [axis for axis in (-1, -2) if _is_simple(calls) and _keeps_others(calls[0], axis)]
    if not axes or not _is_affine(part, calls[0]):
        return None
    reason = ""
    for axis in axes:
        size = _dense_size(calls[0], axis)
        if size > size_of(part):
            reason = reason or f"its parts are smaller than a dense matrix of {size} bytes"
            continue
        dense = _dense(part, calls[0], axis)
        if dense is not None:
            return exchange(root, name, KIND, part, dense, calls)
    return kept(name, KIND, part, reason) if reason else None


def _is_simple(calls: Sequence[Call]) -> bool:
    """Called with one float tensor that gave another."""
    return bool(calls) and all(
        len(call.args) == 1 and not call.kwargs and _is_float(call.args[0], call.output)
        for call in calls
    )


def _is_float(*values: Any) -> bool:
    return all(isinstance(v, Tensor) and v.is_floating_point() and v.dim() for v in values)


def _keeps_others(call: Call, axis: int) -> bool:
    """Whether all other axes, the batch's among them, have the same lengths after the call."""
    x, y = call.args[0], call.output
    if x.dim() != y.dim() or x.dim() + axis < 1:
        return False
    return bool(x.movedim(axis, -1).shape[:-1] == y.movedim(axis, -1).shape[:-1])


def _dense_size(call: Call, axis: int) -> int:
    y: Tensor = call.output
    return int(call.args[0].shape[axis]) * int(y.shape[axis]) * y.element_size()


def _widened(part: nn.Module) -> nn.Module:
    def widen(t: Tensor) -> Tensor:
        if t.is_complex():
            return t.to(torch.complex128)
        return t.double() if t.is_floating_point() else t

    return copy.deepcopy(part)._apply(widen)


def _like(x: Tensor, scale: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.device)


@torch.no_grad()
def _is_affine(part: nn.Module, call: Call) -> bool:
    """Superposition of two random inputs; False also where the module takes no float64."""
    x, y = _like(call.args[0], 1, 0), _like(call.args[0], 10, 1)
    try:
        wide = _widened(part)
        found, parts = wide(0.25 * x + 0.75 * y), (wide(x), wide(y))
    except Exception:  # whatever the user's code raises
        return False
    return relative_error(found, 0.25 * parts[0] + 0.75 * parts[1]) <= _LIMIT


@torch.no_grad()
def _dense(part: nn.Module, call: Call, axis: int) -> nn.Module | None:
    """Return the layer y = W x + b, None if the module is none."""
    if not _keeps_others(call, axis):
        return None
    kind = Basis if next(part.parameters(), None) is None else nn.Linear
    try:
        wide = _widened(part)
        matrix, bias = _evaluated(wide, call.args[0], axis)
        layer = _layer(matrix, bias, axis, kind)
        for seed, scale in enumerate(_SCALES):
            x = _like(call.args[0], scale, seed)
            if not relative_error(layer(x), wide(x)) <= _LIMIT:
                return None
    except Exception:  # whatever the user's code raises
        return None
    return layer.to(call.output.dtype)


def _evaluated(part: nn.Module, example: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return W (outputs, inputs) and b (outputs,), from one unit vector a sample and from zero."""
    size = example.shape[axis]
    shape = [size + 1, *[1] * (example.dim() - 1)]
    shape[axis] = size
    probes = torch.zeros(shape, dtype=torch.float64, device=example.device)
    probes[:size].movedim(axis, -1).view(size, size).fill_diagonal_(1)
    values = part(probes).movedim(axis, -1).reshape(size + 1, -1)
    return (values[:size] - values[size]).T, values[size]


def _layer(matrix: Tensor, bias: Tensor, axis: int, kind: type[nn.Linear]) -> nn.Module:
    rows, columns = matrix.shape
    linear = skip_init(
        kind, columns, rows, bias=bool(bias.any()), dtype=matrix.dtype, device=matrix.device
    )
    linear.weight.copy_(matrix)
    if linear.bias is not None:
        linear.bias.copy_(bias)
    return linear if axis == -1 else AlongAxis(linear, axis)
