"""A residual net on Fashion-MNIST whose inner convolutions have weights and inputs of one bit.

BiPer (Vargas, Correa, Hinojosa, Arguello 2024) trains them in two stages: first the weights are a
sine of what is learned, then its sign. Stem and classes stay in float, as is usual, and x in float
goes past every binary convolution (Liu et al. 2018, Bi-Real Net).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from smalti.models import fashion
from smalti.models.about import About
from smalti.models.trained import trained
from smalti.quant.training import fine_tune
from smalti.runtime.ops.binary_conv.module import BinaryConv2d, real_weights

ABOUT = About(
    papers=(
        "Vargas, Correa, Hinojosa, Arguello 2024, BiPer: Binary Neural Networks using a Periodic "
        "Function, arXiv 2404.01278",
    ),
    metric="accuracy",
    rises=True,
    data="Fashion-MNIST's 10000 test images, from Debian's dataset-fashion-mnist or SMALTI_DATA",
    published="on CIFAR-10 .9375 with ResNet-18",
)
REMARK = (
    "Beside its bits the net has a stem of nine weights a channel and the classes. Plans of few "
    "bits take their bytes from the stem, where errors turn signs, which their linear prediction "
    "does not see; files get hardly smaller. Leave such a net's stem in float, as int8 does."
)

calibration, dynamic_shapes, loss = fashion.calibration, fashion.dynamic_shapes, fashion.loss

CACHE = "biper.safetensors"  # under SMALTI_CACHE, else in build/
TWIN = "biper_float.safetensors"
KINDS = ("binary", "float")
WIDTHS = (32, 64, 128)  # channels at 14 x 14, 7 x 7 and 3 x 3 pixels
EPOCHS, BATCH = (3, 5), 128  # of the two stages; the twin has them all in one
AT_ONCE = 100  # images of one run

Array = NDArray[Any]
Run = Callable[..., list[Array]]


class Block(nn.Module):
    """x + norm(convolution of x); where the convolution halves, x is averaged, and repeated."""

    def __init__(self, kind: str, inputs: int, outputs: int, stride: int, padding: int) -> None:
        super().__init__()
        if kind == "binary":
            self.conv: nn.Module = BinaryConv2d(inputs, outputs, 3, stride, padding, bias=False)
        else:
            conv = nn.Conv2d(inputs, outputs, 3, stride, padding, bias=False)
            self.conv = nn.Sequential(nn.ReLU(), conv)
        self.norm = nn.BatchNorm2d(outputs)
        self.copies, self.stride, self.padding = outputs // inputs, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, H, W) -> (N, outputs, H', W')."""
        y: Tensor = self.norm(self.conv(x))
        if self.stride > 1:
            x = torch.cat([avg_pool2d(x, 3, self.stride, self.padding)] * self.copies, 1)
        return x + y


def network(kind: str) -> nn.Module:
    """Return the untrained net of one of KINDS: (N, 1, 28, 28) in 0..1 -> logits (N, 10)."""
    first, second, third = WIDTHS
    stem = nn.Conv2d(1, first, 3, stride=2, padding=1, bias=False)
    parts = OrderedDict[str, nn.Module](
        stem=nn.Sequential(stem, nn.BatchNorm2d(first)),
        halve1=Block(kind, first, second, 2, 1),
        block1=Block(kind, second, second, 1, 1),
        halve2=Block(kind, second, third, 2, 0),
        block2=Block(kind, third, third, 1, 1),
        block3=Block(kind, third, third, 1, 1),
        mean=nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        classes=nn.Linear(third, 10),
    )
    return nn.Sequential(parts)


def model(kind: str = "binary") -> nn.Module:
    """Return the trained net of one of KINDS, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    torch.manual_seed(0)
    return trained(CACHE if kind == "binary" else TWIN, network(kind), _train)


def _train(module: nn.Module) -> None:
    data, (first, second) = fashion.training_batches(BATCH), EPOCHS
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if any(isinstance(part, BinaryConv2d) for part in module.modules()):
        with real_weights(module):
            fine_tune(module, data, fashion.error, first, learning_rate=4e-3)
        fine_tune(module, data, fashion.error, second, learning_rate=4e-3)
    else:
        fine_tune(module, data, fashion.error, first + second, learning_rate=4e-3)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def example_inputs() -> tuple[Tensor]:
    """Return test images."""
    return (torch.from_numpy(fashion.load("t10k")[0][:AT_ONCE]),)


def evaluate(run: Run) -> dict[str, float]:
    """Return the accuracy on the 10000 test images."""
    return fashion.evaluate(run, AT_ONCE)
