"""BinaryConv2d: a convolution of one bit, as it trains and as it runs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.utils.fusion import fuse_conv_bn_weights

from smalti.runtime.ops.binary_conv.op import binary_conv, signs
from smalti.runtime.ops.binary_conv.packing import pack_bits

_EPS = 1e-5

Pair = int | tuple[int, int]


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


class _Window(nn.Module):
    """Where a convolution's kernels stand."""

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
        super().__init__()
        self.kernel_size, self.stride = _pair(kernel), _pair(stride)
        self.padding, self.dilation = _pair(padding), _pair(dilation)


class _Sign(torch.autograd.Function):
    """1 and -1, for x (N, ...), with the slope of a triangle in backward (Bi-Real Net, 2018).

    The triangle ends at the root mean square of each image. A NaN is -1, and its slope NaN.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        axes = tuple(range(1, x.dim()))
        size = torch.linalg.vector_norm(x, dim=axes, keepdim=True) / prod(x.shape[1:]) ** 0.5
        size += _EPS
        slope = x.abs().mul_(-2 / size).add_(2).clamp_(min=0).div_(size)
        ctx.save_for_backward(slope)
        return (x >= 0).to(x.dtype).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        found: Tensor = grads[0] * slope
        return found


class BinaryConv2d(_Window):
    """y = alpha (sign(x) * sign(sin(w0 w))) + bias: BiPer (Vargas et al. 2024), which trains.

    (N, C, H, W) -> (N, C', H', W'). In backward the square wave is the sine, and the slope of
    sign(x) is 2 - 2 |x| where that is positive, with x in units of its root mean square in each
    image. sign(0) = 1, and padding is 0. Keep x in float between such layers, by shortcuts and
    batch norms; `fold_` packs the weights, and folds a batch norm behind them.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        bias: bool = True,
        frequency: float = 20.0,
    ) -> None:
        """frequency: w0; the higher, the closer are sine and square wave, and the less steady."""
        super().__init__(kernel_size, stride, padding, dilation)
        self.frequency, self.real = frequency, False
        shape = (out_channels, in_channels, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_normal_(self.weight)
        fan_in = self.weight[0].numel()
        self.alpha = nn.Parameter(torch.full((out_channels,), fan_in**-0.5))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def kernels(self) -> Tensor:
        """Return 1 and -1, or the sine itself within `real_weights`: (C', C, height, width)."""
        sine = torch.sin(self.frequency * self.weight)
        return sine if self.real else signs(sine) + (sine - sine.detach())  # adds exactly 0

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, C', H', W')."""
        if self.training:  # alpha in the weights saves a pass over y
            sign: Any = _Sign.apply
            x, weight = sign(x), self.kernels() * self.alpha.reshape(-1, 1, 1, 1)
            return conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation)
        y = conv2d(signs(x), self.kernels(), None, self.stride, self.padding, self.dilation)
        y = y * self.alpha.reshape(-1, 1, 1)
        return y if self.bias is None else y + self.bias.reshape(-1, 1, 1)


class PackedBinaryConv2d(_Window):
    """A BinaryConv2d with packed weights: it runs, and trains no more."""

    codes: Tensor

    def __init__(self, source: BinaryConv2d) -> None:
        """Pack the weights.

        Raises:
            ValueError: they are not finite, or more than 65535 for an output.
        """
        super().__init__(source.kernel_size, source.stride, source.padding, source.dilation)
        sine = torch.sin(source.frequency * source.weight.detach())
        if not sine.isfinite().all():
            raise ValueError("weights: some are NaN or infinite; repair the checkpoint")
        self.shape = tuple(sine.shape)
        self.register_buffer("codes", torch.from_numpy(pack_bits((sine >= 0).numpy())))
        self.alpha = nn.Parameter(source.alpha.detach().clone())
        bias = source.bias
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, C', H', W')."""
        window = (list(self.kernel_size), list(self.stride), 2 * list(self.padding))
        factors = (self.codes, self.alpha, self.bias)
        y: Tensor = binary_conv.call(x, *factors, self.shape[0], *window, list(self.dilation))
        return y

    def normalized(self, norm: nn.BatchNorm2d) -> PackedBinaryConv2d:
        """Return the layer with a batch norm, in evaluation mode, behind it; in float64 inside."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        alpha, bias = fuse_conv_bn_weights(
            self.alpha.detach().double().reshape(-1, 1),
            None if self.bias is None else self.bias.detach().double(),
            norm.running_mean,
            norm.running_var,
            norm.eps,
            norm.weight,
            norm.bias,
        )
        found = copy.deepcopy(self)
        found.alpha = nn.Parameter(alpha.detach().flatten().float())
        found.bias = nn.Parameter(bias.detach().float())
        return found

    def extra_repr(self) -> str:
        """Show format and shape where a module is printed."""
        return f"binary, {' x '.join(map(str, self.shape))}"


@contextmanager
def real_weights(module: nn.Module) -> Iterator[None]:
    """Let the weights of all BinaryConv2d in `module` be the sine itself: the first stage.

    Train so first, which binarizes activations alone; then go on without, which binarizes both.
    (Vargas et al. 2024, BiPer: Binary Neural Networks using a Periodic Function.)
    """
    layers = [part for part in module.modules() if isinstance(part, BinaryConv2d)]
    for layer in layers:
        layer.real = True
    try:
        yield
    finally:
        for layer in layers:
            layer.real = False
