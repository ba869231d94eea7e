"""Learnable spacings on Fashion-MNIST: five points of a kernel find their places among 7 x 7 taps.

Dilated convolution with learnable spacings (Khalfaoui-Hassani, Pellegrini, Masquelier 2021, and
2023 with Gauss) in the two middle layers of a small net. A rival is scored beside it that has as
many parameters: 5 x 5 weights two pixels apart. The weights of both stay in CACHE and RIVAL;
delete those files to train again, for about three minutes each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.models import fashion
from smalti.models.about import About
from smalti.models.dcls import DclsConv2d
from smalti.models.trained import trained
from smalti.quant.training import fine_tune

ABOUT = About(
    papers=(
        "Khalfaoui-Hassani, Pellegrini, Masquelier 2021, Dilated Convolution with Learnable "
        "Spacings, arXiv 2112.03740",
        "Khalfaoui-Hassani, Pellegrini, Masquelier 2023, Dilated Convolution with Learnable "
        "Spacings: beyond bilinear interpolation, arXiv 2306.00817",
    ),
    metric="accuracy",
    rises=True,
    data="Fashion-MNIST's 10000 test images, from Debian's dataset-fashion-mnist or SMALTI_DATA",
)

REMARK = (
    "Export folds the points into dense kernels, 49 weights where 25 numbers were learned: at "
    "equal bits these two layers take twice the bytes of the rival's, whose 5 x 5 taps stay 25."
)

calibration, dynamic_shapes, loss = fashion.calibration, fashion.dynamic_shapes, fashion.loss

CACHE = "dcls_fashion.safetensors"  # under SMALTI_CACHE, else in build/
RIVAL = "dcls_fashion.dilated.safetensors"
KINDS = ("dcls", "dilated")
POINTS, TAPS = 5, 7  # a kernel
WIDTHS = (16, 32, 64)  # channels at 14 x 14, 7 x 7 and 4 x 4 pixels
EPOCHS, BATCH = 4, 128
AT_ONCE = 100  # images of one run

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def spatial(kind: str, inputs: int, outputs: int) -> nn.Module:
    """Return a convolution that halves, of one of KINDS; both have 25 parameters a kernel.

    `dcls`: a weight, two coordinates and two widths for each of five points. `dilated`: 5 x 5
    weights two pixels apart.
    """
    if kind == "dilated":
        return nn.Conv2d(inputs, outputs, 5, stride=2, padding=4, dilation=2, bias=False)
    return DclsConv2d(inputs, outputs, POINTS, TAPS, stride=2, padding=TAPS // 2, bias=False)


def network(kind: str) -> nn.Module:
    """Return the untrained net of one of KINDS: (N, 1, 28, 28) in 0..1 -> logits (N, 10)."""
    first, second, third = WIDTHS
    parts = OrderedDict[str, nn.Module](
        stem=_normed(nn.Conv2d(1, first, 3, stride=2, padding=1, bias=False)),
        halve1=_normed(spatial(kind, first, second)),
        halve2=_normed(spatial(kind, second, third)),
        widen=_normed(nn.Conv2d(third, 2 * third, 1, bias=False)),
        mean=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        classes=nn.Linear(2 * third, 10),
    )
    return nn.Sequential(parts)


def _normed(convolution: nn.Module) -> nn.Module:
    weight: Any = convolution.weight
    outputs = weight.shape[0]
    return nn.Sequential(convolution, nn.BatchNorm2d(int(outputs)), nn.ReLU(inplace=True))


def model(kind: str = "dcls") -> nn.Module:
    """Return the trained net of one of KINDS, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    torch.manual_seed(0)
    return trained(CACHE if kind == "dcls" else RIVAL, network(kind), _train)


def _train(module: nn.Module) -> None:
    data = fashion.training_batches(BATCH)
    fine_tune(module, data, fashion.error, EPOCHS, learning_rate=4e-3)


def example_inputs() -> tuple[Tensor]:
    """Return test images."""
    return (torch.from_numpy(fashion.load("t10k")[0][:AT_ONCE]),)


def evaluate(run: Run) -> dict[str, float]:
    """Return the accuracy on the 10000 test images, and that of the dilated rival in float.

    The rival is trained where it is not cached.
    """
    return fashion.evaluate(run, AT_ONCE) | {"accuracy_dilated": _rival()}


def _rival() -> float:
    module = model("dilated")

    def run(*arrays: Array) -> list[Array]:
        with torch.inference_mode():
            return [module(*map(torch.from_numpy, arrays)).numpy()]

    return fashion.evaluate(run, AT_ONCE)["accuracy"]
