"""Photos that recipes draw, edit or enlarge, and how alike two pictures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def portrait() -> Tensor:
    """Return matplotlib's sample, Grace Hopper's portrait: (1, 3, 600, 512) in 0..1."""
    import matplotlib
    from matplotlib.image import imread

    path = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    pixels = np.ascontiguousarray(imread(path).transpose(2, 0, 1)[None])
    return torch.from_numpy(pixels / np.float32(255))


def photo(name: str) -> Tensor:
    """Return a photo (1, 3, h, w) in 0..1: `portrait`, or scikit-image's sample of that name."""
    if name == "portrait":
        return portrait()
    import skimage.data

    pixels = np.asarray(getattr(skimage.data, name)())
    colours = np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], 3))
    return torch.from_numpy(colours.transpose(2, 0, 1)[None] / np.float32(255))


def middle(image: Tensor, height: int, width: int) -> Tensor:
    """Return the middle (..., height, width) of an image (..., h, w)."""
    y, x = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    return image[..., y : y + height, x : x + width]


def resized(image: Tensor, height: int, width: int) -> Tensor:
    """Resize an image (1, 3, h, w) in 0..1 with Pillow's bicubic filter, in 8 bits."""
    from PIL import Image

    pixels = Image.fromarray(eight_bits(image))
    found = np.asarray(pixels.resize((width, height), Image.Resampling.BICUBIC))
    return torch.from_numpy(found.transpose(2, 0, 1)[None] / np.float32(255))


def eight_bits(image: Tensor) -> NDArray[np.uint8]:
    """Return an image (1, 3, h, w) in 0..1 as pixels (h, w, 3)."""
    pixels: NDArray[np.uint8] = (image[0].clamp(0, 1) * 255).round().byte().numpy()
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def luma(image: NDArray[Any]) -> NDArray[Any]:
    """Return Y (N, h, w) of images (N, 3, h, w) in 0..1, by ITU-R BT.601 from 16 to 235 of 255."""
    weights = np.array([65.481, 128.553, 24.966]) / 255
    found: NDArray[Any] = np.tensordot(image, weights, (1, 0)) + 16 / 255
    return found


def centers(height: int, width: int) -> Tensor:
    """Return (x, y) of the pixels' centers in [0, 1], row after row: (height * width, 2)."""
    y, x = ((torch.arange(size) + 0.5) / size for size in (height, width))
    return torch.cartesian_prod(y, x).flip(1)


def psnr(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return the peak signal-to-noise ratio in dB of values in 0..1."""
    return float(-10 * np.log10(np.square(found - wanted, dtype=np.float64).mean()))


def side_by_side(columns: Mapping[str, Sequence[NDArray[Any]]], inches: float = 1.4) -> Figure:
    """Return a figure of columns of images, each (h, w) or (h, w, 3) in 0..1, under their names.

    inches: height of an image.
    """
    from matplotlib.figure import Figure

    rows = max(map(len, columns.values()))
    height, width = next(iter(columns.values()))[0].shape[:2]
    size = (inches * width / height * len(columns), inches * rows + 0.3)
    figure = Figure(size, layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for of_column, (name, images) in zip(axes.T, columns.items(), strict=True):
        of_column[0].set_title(name, fontsize=9)
        for place, image in zip(of_column, images, strict=True):
            place.imshow(image, cmap="gray", vmin=0, vmax=1)
            place.set_axis_off()
    return figure
