"""Transposed convolutions as plain ones, whose outputs are shuffled into place.

With kernel k, stride s and m = k / s, output pixel s r + b - padding meets the inputs r - m + 1 to
r alone. A convolution of kernel m gives all s x s of them at once, as channels, and PixelShuffle
puts them side by side (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional
layer?"). Quantization knows plain convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle
from torch.nn.utils import skip_init

from smalti.export.fold.parts import Folded, exchange, kept, record

KIND = "transposed convolution"


class ShuffledConv(nn.Module):
    """A convolution whose channels become pixels, of which some borders are cut off."""

    def __init__(self, conv: nn.Conv2d, stride: int, cut: Sequence[tuple[int, int]]) -> None:
        """cut: rows in front and in all, columns in front and in all."""
        super().__init__()
        self.conv, self.stride, self.cut = conv, stride, cut

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, H, W) -> (N, outputs, H', W')."""
        y = pixel_shuffle(self.conv(x), self.stride)
        for axis, (first, lost) in enumerate(self.cut, start=2):
            if lost:
                y = y.narrow(axis, first, y.shape[axis] - lost)
        return y


def fold_transposed_(root: nn.Module, inputs: Sequence[Tensor]) -> list[Folded]:
    """Turn each ConvTranspose2d that needs no more weights as a convolution into one, in place."""
    parts = {n: part for n, part in root.named_modules() if type(part) is nn.ConvTranspose2d}
    calls = record(root, inputs, parts.values()) if parts else {}
    return [
        kept(name, KIND, part, reason)
        if (reason := _why_not(part))
        else exchange(root, name, KIND, part, _shuffled(part), calls[part])
        for name, part in parts.items()
    ]


def _why_not(part: nn.ConvTranspose2d) -> str:
    stride = part.stride[0]
    if part.groups > 1 or part.dilation != (1, 1) or part.stride[1] != stride:
        return "it has groups, dilation or two strides"
    if any(size % stride for size in part.kernel_size):
        return f"its kernel {part.kernel_size} is no multiple of its stride {stride}"
    if any(more > pad for more, pad in zip(part.output_padding, _padding(part), strict=True)):
        return f"its output has more padding, {part.output_padding}, than its input"
    return ""


def _padding(part: nn.ConvTranspose2d) -> list[int]:
    return [int(pad) for pad in part.padding]


@torch.no_grad()
def _shuffled(part: nn.ConvTranspose2d) -> ShuffledConv:
    stride = part.stride[0]
    taps = [size // stride for size in part.kernel_size]
    conv = skip_init(
        nn.Conv2d,
        part.in_channels,
        part.out_channels * stride**2,
        tuple(taps),
        padding=tuple(tap - 1 for tap in taps),
        bias=part.bias is not None,
        dtype=part.weight.dtype,
        device=part.weight.device,
    )
    # (inputs, outputs, taps, stride, taps, stride) -> (outputs, stride, stride, inputs, taps, taps)
    phases = part.weight.unflatten(3, (taps[1], stride)).unflatten(2, (taps[0], stride))
    kernels = phases.flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    conv.weight.copy_(kernels.reshape_as(conv.weight))
    if part.bias is not None:
        conv.bias.copy_(part.bias.repeat_interleave(stride**2))
    pads = zip(_padding(part), part.output_padding, strict=True)
    return ShuffledConv(conv, stride, [(pad, 2 * pad - more) for pad, more in pads])
