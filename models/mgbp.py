"""Photos at twice their size by back-projections on three grids: MGBP.

Multi-Grid Back-Projection (Navarrete Michelini et al. 2018) corrects features at the large size by
what they give at the small one, and these corrections one grid further down. As in version 2 (2019)
no step shares weights; a step up is a convolution and a shuffle of pixels, which both engines have.
Trained for minutes on six photos, where the papers take days and data sets. The weights stay in
CACHE; delete that file to train again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate, l1_loss, relu

from smalti.models.about import About
from smalti.models.pictures import luma, middle, photo, psnr, resized, side_by_side
from smalti.models.trained import trained
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Navarrete Michelini, Liu, Zhu 2018, Multigrid Backprojection Super-Resolution and Deep "
        "Filter Visualization, arXiv 1809.09326",
        "Navarrete Michelini, Chen, Liu, Zhu, Jiang 2021, Multi-Grid Back-Projection Networks, "
        "arXiv 2101.00150",
    ),
    metric="psnr_y",
    rises=True,
    data="photos of scikit-image, six to train on; scored on its chelsea and coffee and on "
    "matplotlib's portrait, halved by Pillow's bicubic filter",
    unit="dB",
)

CACHE = "mgbp.safetensors"  # under SMALTI_CACHE, else in build/
TRAINED_ON = ("astronaut", "rocket", "immunohistochemistry", "brick", "camera", "gravel")
TESTED_ON = ("chelsea", "coffee", "portrait")
SIZE = (288, 448)  # height and width of the middle of test photos
WIDTHS = (32, 32, 16)  # channels of the grids at a half, one and two times the given size
ROUNDS = 2
STEPS, BATCH, PATCH = 1000, 16, 48  # PATCH: pixels along a large patch
_RATE = 2e-3
_PART = (slice(40, 136), slice(90, 186))  # rows, columns of the picture

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1)


def _up(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(_convolution(inputs, 4 * outputs), nn.PixelShuffle(2))


class BackProjection(nn.Module):
    """Correct the features of a grid by those of the grids below, ROUNDS times.

    level: of the grid in WIDTHS.
    """

    def __init__(self, level: int) -> None:
        super().__init__()
        fine, coarse = WIDTHS[level], WIDTHS[level - 1]
        self.down = nn.ModuleList(_convolution(fine, coarse, 2) for _ in range(ROUNDS))
        self.up = nn.ModuleList(_up(2 * coarse, fine) for _ in range(ROUNDS))
        rounds = range(ROUNDS if level > 1 else 0)
        self.below = nn.ModuleList(BackProjection(level - 1) for _ in rounds)

    def forward(self, u: Tensor, seen: list[Tensor]) -> Tensor:
        """u: (N, C, H, W); seen: features of the image on the grids below, the lowest first."""
        for i, (down, up) in enumerate(zip(self.down, self.up, strict=True)):
            found = down(u)
            if self.below:
                found = self.below[i](found, seen[:-1])
            u = u + up(relu(torch.cat([seen[-1], found], 1)))
        return u


class Mgbp(nn.Module):
    """Images (N, 3, h, w) in 0..1 -> (N, 3, 2 h, 2 w), bicubic and what that lacks; h, w even."""

    def __init__(self) -> None:
        super().__init__()
        lowest, given, twice = WIDTHS
        self.analysis = nn.ModuleList([_convolution(3, lowest, 2), _convolution(3, given)])
        self.first = _up(given, twice)
        self.projection = BackProjection(2)
        self.last = _convolution(twice, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, h, w) -> (N, 3, 2 h, 2 w)."""
        seen = [part(x) for part in self.analysis]
        lacking: Tensor = self.last(self.projection(self.first(relu(seen[-1])), seen))
        return interpolate(x, scale_factor=2, mode="bicubic", align_corners=False) + lacking


def halved(large: Tensor) -> Tensor:
    """Return an image (1, 3, 2 h, 2 w) as (1, 3, h, w)."""
    return resized(large, large.shape[2] // 2, large.shape[3] // 2)


class Patches:
    """STEPS batches of patches, small and large, of random places, turned and mirrored."""

    def __init__(self, photos: list[Tensor]) -> None:
        self.pairs = [(halved(large), large) for large in photos]
        self.random = np.random.default_rng(0)

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(STEPS):
            small, large = zip(*(self._patch() for _ in range(BATCH)), strict=True)
            yield torch.cat(small), torch.cat(large)

    def _patch(self) -> tuple[Tensor, ...]:
        small, large = self.pairs[self.random.integers(len(self.pairs))]
        side = PATCH // 2
        y, x = (int(self.random.integers(size - side + 1)) for size in small.shape[2:])
        turns, mirrored = (int(n) for n in self.random.integers((4, 2)))
        parts = (
            small[:, :, y : y + side, x : x + side],
            large[:, :, 2 * y : 2 * y + PATCH, 2 * x : 2 * x + PATCH],
        )
        turned = (part.rot90(turns, (2, 3)) for part in parts)
        return tuple(part.flip(3) if mirrored else part for part in turned)


def error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the training loss, the mean absolute difference."""
    return l1_loss(module(batch[0]), batch[1])


def model() -> Mgbp:
    """Return the trained network, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE, Mgbp(), train)


def train(module: Mgbp) -> None:
    """Fit patches of the photos to train on."""
    photos = [even(photo(name)) for name in TRAINED_ON]
    fine_tune(module, Patches(photos), error, 1, _RATE)


def even(image: Tensor) -> Tensor:
    """Return an image (1, 3, h, w) without the last row or column of an odd number."""
    return image[:, :, : image.shape[2] // 2 * 2, : image.shape[3] // 2 * 2]


def tests() -> list[tuple[Tensor, Tensor]]:
    """Return test photos small and large: (1, 3, h, w), (1, 3, 2 h, 2 w)."""
    large = [middle(photo(name), *SIZE) for name in TESTED_ON]
    return [(halved(image), image) for image in large]


def example_inputs() -> tuple[Tensor]:
    """Return the first test photo, small."""
    return (tests()[0][0],)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield four batches of small patches of the photos to train on."""
    patches = iter(Patches([even(photo(name)) for name in TRAINED_ON]))
    yield from ((next(patches)[0],) for _ in range(4))


def evaluate(run: Run) -> dict[str, float]:
    """Return the mean PSNR of luma in dB, without two pixels at the edges; and of bicubic."""
    scores = [
        (_score(run(small.numpy())[0], large), _score(resized(small, *SIZE).numpy(), large))
        for small, large in tests()
    ]
    found, bicubic = np.mean(scores, 0)
    return {"psnr_y": float(found), "psnr_y_bicubic": float(bicubic)}


def _score(found: Array, wanted: Tensor) -> float:
    rounded = np.round(found.clip(0, 1) * 255) / 255
    inner = np.s_[:, 2:-2, 2:-2]
    return psnr(luma(rounded)[inner], luma(wanted.numpy())[inner])


def picture(runs: dict[str, Run]) -> Figure:
    """Draw a part of the first test photo: as given, enlarged in all ways, and as it was."""
    small, large = tests()[0]
    ways = {label: run(small.numpy())[0] for label, run in runs.items()}
    images = {
        "given": small.repeat_interleave(2, 2).repeat_interleave(2, 3).numpy(),
        "bicubic": resized(small, *SIZE).numpy(),
        **ways,
        "photo": large.numpy(),
    }
    parts = {
        label: [image[0][:, _PART[0], _PART[1]].transpose(1, 2, 0).clip(0, 1)]
        for label, image in images.items()
    }
    return side_by_side(parts, inches=2.2)
