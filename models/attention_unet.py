"""Outlines of wounds on photos of foot ulcers: a residual U-Net with attention gates.

After Chae, Hong, Kim 2021, whose own photos are not public; the gates are those of Oktay et al.
2018. Here the photos come from the Foot Ulcer Segmentation Challenge (see `smalti.models.wounds`).
Upsampling is interpolation and a convolution, which has no chequerboards, and can be quantized.
The weights stay in CACHE; delete that file to train again, for about seven minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import (
    binary_cross_entropy,
    interpolate,
    max_pool2d,
    pixel_shuffle,
    pixel_unshuffle,
    relu,
)

from smalti.models.about import About
from smalti.models.batches import Shuffled
from smalti.models.pictures import side_by_side
from smalti.models.trained import trained
from smalti.models.wounds import photos, turned
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Chae, Hong, Kim 2021, A Pressure Ulcer Care System For Remote Medical Assistance: "
        "Residual U-Net with an Attention Model Based for Wound Area Segmentation, "
        "arXiv 2101.09433",
        "Oktay et al. 2018, Attention U-Net: Learning Where to Look for the Pancreas, "
        "arXiv 1804.03999",
    ),
    metric="dice",
    rises=True,
    data="the 200 validation photos of the Foot Ulcer Segmentation Challenge (Wang et al. 2020), "
    "at 128 x 128 pixels; from SMALTI_DATA",
    published=".934 on photos of pressure ulcers that are not public",
)

CACHE = "attention_unet.safetensors"  # under SMALTI_CACHE, else in build/
SIZE = 128  # pixels that the photos of 512 are averaged to
WIDTHS = (16, 32, 64, 128)  # channels, from the finest level to the coarsest
EPOCHS, BATCH = 12, 10
AT_ONCE, SHOWN = 10, 4  # photos of one run, and of the picture

Array = NDArray[Any]
Run = Callable[..., list[Array]]


class Residual(nn.Module):
    """Two convolutions beside one of 1x1: (N, inputs, h, w) -> (N, outputs, h, w)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.beside = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, inputs, h, w)."""
        y = self.norm2(self.second(relu(self.norm1(self.first(x)))))
        return relu(y + self.beside(x))


class Gate(nn.Module):
    """Attention gate (Oktay et al. 2018): a weight in 0..1 for each pixel of what is passed on.

    skipped, coarse: (N, width, h, w), of the encoder and of the decoder's coarser level.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of_skipped = nn.Conv2d(width, width // 2, 1)
        self.of_coarse = nn.Conv2d(width, width // 2, 1)
        self.weight = nn.Conv2d(width // 2, 1, 1)

    def forward(self, skipped: Tensor, coarse: Tensor) -> Tensor:
        """Return `skipped`, weighted."""
        both = relu(self.of_skipped(skipped) + self.of_coarse(coarse))
        return skipped * torch.sigmoid(self.weight(both))


class Up(nn.Module):
    """One level of the decoder: twice as fine, with what the encoder has there."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(inputs, outputs, 1)  # before the pixels get four times as many
        self.gate = Gate(outputs)
        self.mix = Residual(2 * outputs, outputs)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        """x: (N, inputs, h, w), skipped: (N, outputs, 2h, 2w) -> (N, outputs, 2h, 2w)."""
        coarse = interpolate(self.narrow(x), scale_factor=2, mode="bilinear")
        result: Tensor = self.mix(torch.cat([self.gate(skipped, coarse), coarse], 1))
        return result


class AttentionUNet(nn.Module):
    """Photos (N, 3, h, w) in 0..1 -> how likely each pixel is of a wound (N, 1, h, w).

    The finest level has half of the photo's rows and columns, four pixels to a place.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.down = nn.ModuleList(map(Residual, (12, *widths), widths))
        self.up = nn.ModuleList(map(Up, widths[:0:-1], widths[-2::-1]))
        self.last = nn.Conv2d(widths[0], 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, h, w), sides divisible by 2 for each level."""
        levels = [self.down[0](pixel_unshuffle(x, 2))]
        for block in self.down[1:]:
            levels.append(block(max_pool2d(levels[-1], 2)))
        y = levels.pop()
        for block in self.up:
            y = block(y, levels.pop())
        return torch.sigmoid(pixel_shuffle(self.last(y), 2))


def error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the training loss: cross entropy, and what the batch's Dice coefficient lacks."""
    found, wanted = module(batch[0]), batch[1]
    overlap = 2 * (found * wanted).sum() / (found.sum() + wanted.sum() + 1)
    result: Tensor = binary_cross_entropy(found, wanted) + 1 - overlap
    return result


def model() -> AttentionUNet:
    """Return the trained net, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    torch.manual_seed(0)
    return trained(CACHE, AttentionUNet(WIDTHS), _train)


def _train(module: nn.Module) -> None:
    data = Shuffled(*photos("train", SIZE), batch=BATCH, change=turned)
    fine_tune(module, data, error, EPOCHS, learning_rate=4e-3)


def example_inputs() -> tuple[Tensor]:
    """Return photos, spread over those for validation."""
    images, _ = photos("validation", SIZE)
    return (images[:: max(1, len(images) // AT_ONCE)][:AT_ONCE],)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield batches of training photos, 200 in all."""
    images, _ = photos("train", SIZE)
    yield from ((part,) for part in images[:200].split(AT_ONCE))


def evaluate(run: Run) -> dict[str, float]:
    """Return the Dice coefficient of all photos' pixels together, and the mean of each photo's.

    2 |found and true| / (|found| + |true|); a photo without a wound in which none is found has 1.
    """
    images, masks = photos("validation", SIZE)
    found = np.concatenate([run(part.numpy())[0] > 0.5 for part in images.split(AT_ONCE)])
    wanted = masks.numpy() > 0.5
    both, each = ((a.sum((1, 2, 3))) for a in (found & wanted, 1 * found + wanted))
    return {
        "dice": float(2 * both.sum() / each.sum()),
        "dice_photo": float(np.where(each > 0, 2 * both / np.maximum(each, 1), 1).mean()),
    }


def picture(runs: Mapping[str, Run]) -> Figure:
    """Return some photos, their wounds, and where each run sees one."""
    images, masks = photos("validation", SIZE)
    step = max(1, len(images) // AT_ONCE)
    columns = {
        "photo": [image.permute(1, 2, 0).numpy() for image in images[::step][:SHOWN]],
        "truth": [mask[0].numpy() for mask in masks[::step][:SHOWN]],
    }
    for name, run in runs.items():
        columns[name] = [found[0] for found in run(example_inputs()[0].numpy())[0][:SHOWN]]
    return side_by_side(columns)
