"""BinaryConv: 2-D convolution of the signs of x with weights of one bit."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from smalti.runtime.ops.binary_conv.packing import HEADER, TILE_OUTPUTS
from smalti.runtime.ops.torch_op import torch_op
from smalti.runtime.ops.vq_conv.op import output_shape


def signs(x: Tensor) -> Tensor:
    """1 where x >= 0, of either zero, too, and -1 below; NaN stays NaN."""
    one = torch.ones((), dtype=x.dtype)
    return torch.where(x.isnan(), x, torch.where(x < 0, -one, one))


def unpack_bits(codes: Tensor, outputs: int, channels: int, kernel: Sequence[int]) -> Tensor:
    """The weights of packed bits: 1 and -1, float32 (outputs, channels, height, width)."""
    octets, taps = -(-channels // 8), kernel[0] * kernel[1]
    v = codes[HEADER.size :].reshape(-1, taps, octets, TILE_OUTPUTS, 1).to(torch.int32)
    powers = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128], dtype=torch.int32)
    bits = torch.div(v, powers, rounding_mode="trunc") % 2
    rows = bits.permute(0, 3, 2, 4, 1).reshape(-1, octets * 8, taps)[:outputs, :channels]
    return (2 * rows - 1).reshape(outputs, channels, *kernel).to(torch.float32)


@torch_op("BinaryConv", output_shape)
def binary_conv(
    x: Tensor,
    codes: Tensor,
    alpha: Tensor,
    bias: Tensor | None,
    out_channels: int,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Tensor:
    """y = alpha (sign(x) * w) + bias, with sign(0) = 1, for x (N, C, H, W), NCHW, one group.

    codes: w, packed bits of (out_channels, C, *kernel_shape), docs/formats.md. alpha, bias:
    (out_channels,). pads: top, left, bottom, right; padding is 0, neither 1 nor -1. A window with
    a NaN gives NaN. (Rastegari et al. 2016, XNOR-Net, section 3.2.)
    """
    weight = unpack_bits(codes, out_channels, x.shape[1], kernel_shape).to(x.dtype)
    padded = pad(signs(x), (pads[1], pads[3], pads[0], pads[2]))
    y = conv2d(padded, weight, None, tuple(strides), 0, tuple(dilations))
    scaled: Tensor = y * alpha.reshape(-1, 1, 1)
    return scaled if bias is None else scaled + bias.reshape(-1, 1, 1)
