"""Whether a module is affine along an axis, and the Linear layer that it then is."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from smalti.export.fold.parts import Call, relative_error

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


def keeps_others(call: Call, axis: int) -> bool:
    """Whether all other axes, the batch's among them, have the same lengths after the call."""
    x, y = call.args[0], call.output
    if x.dim() != y.dim() or x.dim() + axis < 1:
        return False
    return bool(x.movedim(axis, -1).shape[:-1] == y.movedim(axis, -1).shape[:-1])


def _widened(part: nn.Module) -> nn.Module:
    def widen(t: Tensor) -> Tensor:
        if t.is_complex():
            return t.to(torch.complex128)
        return t.double() if t.is_floating_point() else t

    wide: nn.Module = copy.deepcopy(part)._apply(widen)
    return wide


def _like(x: Tensor, scale: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.device)


@torch.no_grad()
def is_affine(part: nn.Module, call: Call) -> bool:
    """Superposition of two random inputs; False also where the module takes no float64."""
    x, y = _like(call.args[0], 1, 0), _like(call.args[0], 10, 1)
    try:
        wide = _widened(part)
        found, parts = wide(0.25 * x + 0.75 * y), (wide(x), wide(y))
    except Exception:  # whatever the user's code raises
        return False
    return relative_error(found, 0.25 * parts[0] + 0.75 * parts[1]) <= _LIMIT


@torch.no_grad()
def takes_other_lengths(part: nn.Module, call: Call, axis: int) -> bool:
    """Whether the module also works for inputs that are longer or shorter along the axis."""
    x = call.args[0].movedim(axis, -1)
    for other in (torch.cat((x, x[..., :1]), -1), x[..., 1:]):
        if other.shape[-1]:
            try:
                part(other.movedim(-1, axis).clone())
            except Exception:  # whatever the user's code raises
                continue
            return True
    return False


@torch.no_grad()
def dense(part: nn.Module, call: Call, axis: int) -> nn.Module | None:
    """Return the layer y = W x + b, None if the module is none."""
    if not keeps_others(call, axis):
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
    linear: nn.Linear = skip_init(
        kind, columns, rows, bias=bool(bias.any()), dtype=matrix.dtype, device=matrix.device
    )
    linear.weight.copy_(matrix)
    if linear.bias is not None:
        linear.bias.copy_(bias)
    return linear if axis == -1 else AlongAxis(linear, axis)
