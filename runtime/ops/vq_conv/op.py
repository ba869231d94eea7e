"""VQConv: 2-D convolution with packed weights."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from smalti.runtime.ops.hadamard_transform.op import hadamard_transform
from smalti.runtime.ops.torch_op import torch_op
from smalti.runtime.ops.vq_matmul.op import vq_matmul


def _extent(a: dict[str, Any], axis: int) -> int:
    reach = a["dilations"][axis] * (a["kernel_shape"][axis] - 1) + 1
    padded = a["x"].shape[2 + axis] + a["pads"][axis] + a["pads"][axis + 2]
    extent: int = (padded - reach) // a["strides"][axis] + 1
    return extent


def output_shape(a: dict[str, Any]) -> tuple[int, ...]:
    """(N, out_channels, H', W'), from the arguments of a convolution by name."""
    return (a["x"].shape[0], a["out_channels"], _extent(a, 0), _extent(a, 1))


def _patches(
    x: Tensor,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Tensor:
    """(N, C, H, W) -> (N, H', W', C * kernel): a depthwise convolution with unit kernels."""
    taps, channels = kernel[0] * kernel[1], x.shape[1]
    unit = torch.eye(taps, dtype=x.dtype).reshape(taps, 1, *kernel).repeat(channels, 1, 1, 1)
    padded = pad(x, (pads[1], pads[3], pads[0], pads[2]))
    moved = conv2d(padded, unit, None, tuple(strides), 0, tuple(dilations), channels)
    return moved.permute(0, 2, 3, 1)


@torch_op("VQConv", output_shape)
def vq_conv(
    x: Tensor,
    codes: Tensor,
    scales: Tensor,
    grid: Tensor,
    bias: Tensor | None,
    out_channels: int,
    step: float,
    int8: bool,
    block: int,
    seed: int,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Tensor:
    """Convolve x (N, C, H, W) with packed weights (out_channels, C * kernel), NCHW, one group.

    pads: top, left, bottom, right. The rest as in VQMatMul; patches are rotated here.
    """
    patches = _patches(x, kernel_shape, strides, pads, dilations)
    rotated = hadamard_transform.reference(patches, block, seed)
    y = vq_matmul.reference(rotated, codes, scales, grid, bias, out_channels, step, int8)
    return y.permute(0, 3, 1, 2)
