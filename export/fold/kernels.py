"""Convolutions whose kernels are constructed from fewer numbers, as plain convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from smalti.export.fold.parts import Folded, exchange, record

KIND = "constructed kernel"
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class ConstructedKernel(Protocol):
    """A convolution with a method for its kernel (outputs, inputs / groups, *sizes).

    The attributes mean what they do for nn.Conv2d. `dilation` and `padding_mode` are 1 and zeros
    where they are missing.
    """

    stride: Any
    padding: Any
    groups: int
    bias: Tensor | None

    def dense_kernel(self) -> Tensor:
        """Construct it."""
        ...


def fold_kernels_(root: nn.Module, inputs: Sequence[Tensor], prune: float = 0.0) -> list[Folded]:
    """Turn modules with a method `dense_kernel()` into convolutions, in place.

    prune: set weights below this part of a kernel's largest one to zero, and cut away borders of
    zeros; the reports' errors include it, and no limit is put on them. Without it only borders
    that are zero anyway are cut.
    """
    parts = {name: part for name, part in root.named_modules() if _constructs(part)}
    calls = record(root, inputs, parts.values()) if parts else {}
    limit = float("inf") if prune else None
    return [
        exchange(root, name, KIND, part, _conv(part, prune), calls[part], limit)
        for name, part in parts.items()
    ]


def _constructs(part: nn.Module) -> bool:
    return callable(getattr(part, "dense_kernel", None))


@torch.no_grad()
def _conv(part: nn.Module, prune: float) -> nn.Module:
    source = cast(ConstructedKernel, part)
    kernel = source.dense_kernel().detach()
    kernel = torch.where(kernel.abs() < prune * kernel.abs().max(), 0, kernel)
    dilation = _each(getattr(part, "dilation", 1), kernel.dim() - 2)
    kernel, padding = _trimmed(kernel, source.padding, dilation)
    conv = skip_init(
        _CONVS[kernel.dim() - 3],
        kernel.shape[1] * source.groups,
        len(kernel),
        tuple(kernel.shape[2:]),
        stride=source.stride,
        padding=padding,
        dilation=dilation,
        groups=source.groups,
        bias=source.bias is not None,
        padding_mode=getattr(part, "padding_mode", "zeros"),
        dtype=kernel.dtype,
        device=kernel.device,
    )
    conv.weight.copy_(kernel)
    if source.bias is not None:
        conv.bias.copy_(source.bias)
    return cast(nn.Module, conv)


def _trimmed(kernel: Tensor, padding: Any, dilation: Sequence[int]) -> tuple[Tensor, Any]:
    """Cut borders of zeros, as much on both sides, and take as much off the padding."""
    pads = padding if isinstance(padding, str) else list(_each(padding, len(dilation)))
    for axis, step in enumerate(dilation):
        used = kernel.movedim(axis + 2, 0).flatten(1).any(1).nonzero().flatten().tolist()
        size = kernel.shape[axis + 2]
        margin = min(used[0], size - 1 - used[-1]) if used else (size - 1) // 2
        if not isinstance(pads, str):
            margin = min(margin, pads[axis] // step)
            pads[axis] -= margin * step
        elif pads == "valid":
            margin = 0
        kernel = kernel.narrow(axis + 2, margin, size - 2 * margin)
    return kernel, pads if isinstance(pads, str) else tuple(pads)


def _each(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)
