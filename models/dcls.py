"""Dilated convolution with learnable spacings (Khalfaoui-Hassani, Pellegrini, Masquelier 2023).

"Dilated Convolution with Learnable Spacings", ICLR 2023 (bilinear), and "Dilated Convolution with
Learnable Spacings: beyond bilinear interpolation" (Gauss). A kernel has a few weights at positions
that are real numbers, each spread over the taps around it. `fold_` makes it a plain convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

VERSIONS = ("v1", "gauss")
_NARROWEST = 0.27  # the smallest standard deviation, in taps
_EPS = 1e-7


class _Dcls(nn.Module):
    """A convolution of `kernel_count` weights for each pair of channels, on a grid of taps.

    dilated_kernel_size: taps an axis. version: `v1` shares a weight among the two taps of each axis
    around its position; `gauss` spreads it by a Gaussian of learned width, of sum 1.

    Raises:
        ValueError: an unknown version, or groups that do not divide the channels.
    """

    axes: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_count: int,
        dilated_kernel_size: int | Sequence[int],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        version: str = "gauss",
    ) -> None:
        super().__init__()
        if version not in VERSIONS:
            raise ValueError(f"version={version!r}; use one of {', '.join(VERSIONS)}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(f"groups={groups} divides not both {in_channels} and {out_channels}")
        size = dilated_kernel_size
        self.taps = [size] * self.axes if isinstance(size, int) else list(size)
        self.stride, self.padding, self.groups, self.version = stride, padding, groups, version
        shape = (out_channels, in_channels // groups, kernel_count)
        bound = (shape[1] * kernel_count) ** -0.5
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        half = torch.tensor([n // 2 for n in self.taps]).view(-1, 1, 1, 1)
        self.positions = nn.Parameter(0.5 * half * torch.randn(self.axes, *shape))
        self.widths = nn.Parameter(torch.full((self.axes, *shape), 0.23))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        if version == "v1":
            self.widths.requires_grad_(False)

    def dense_kernel(self) -> Tensor:
        """The kernel (outputs, inputs / groups, *taps) of the convolution that this one is."""
        spread = [self._along(axis, count) for axis, count in enumerate(self.taps)]
        weight: Tensor = self.weight
        if self.version == "gauss":
            # The sum over a grid of products is the product of the sums.
            sums = torch.stack([part.sum(-1) for part in spread]).prod(0)
            weight = weight / (sums + _EPS)
        letters = "xyz"[: self.axes]
        terms = ",".join(f"oik{letter}" for letter in letters)
        return torch.einsum(f"oik,{terms}->oi{letters}", weight, *spread)

    def _along(self, axis: int, taps: int) -> Tensor:
        """How much of each weight every tap of an axis gets: (outputs, inputs, count, taps)."""
        half = taps // 2
        at = self.positions[axis].clamp(-half, half) + half
        index = torch.arange(taps, dtype=at.dtype, device=at.device)
        away = index - at.unsqueeze(-1)
        if self.version == "v1":
            return (1 - away.abs()).clamp(min=0)
        width = self.widths[axis].abs().unsqueeze(-1) + _NARROWEST
        return torch.exp(-0.5 * (away / width).square())


class DclsConv1d(_Dcls):
    """Along one axis: (N, C, L) -> (N, C', L'). Arguments as in `DclsConv2d`."""

    axes = 1

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, L) -> (N, C', L')."""
        return _convolved(functional.conv1d, self, x)


class DclsConv2d(_Dcls):
    """Along two axes: (N, C, H, W) -> (N, C', H', W').

    in_channels, out_channels, stride, padding, groups, bias: as for nn.Conv2d. kernel_count:
    weights a kernel; dilated_kernel_size: taps an axis; version: `v1` (bilinear) or `gauss`.
    """

    axes = 2

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, C', H', W')."""
        return _convolved(functional.conv2d, self, x)


def _convolved(convolution: Any, layer: _Dcls, x: Tensor) -> Tensor:
    kernel = layer.dense_kernel()
    y: Tensor = convolution(x, kernel, layer.bias, layer.stride, layer.padding, groups=layer.groups)
    return y
