"""Photos of foot ulcers and where the wounds are: the Foot Ulcer Segmentation Challenge.

Wang et al. 2020, "Fully Automatic Wound Segmentation with Deep Convolutional Neural Networks",
Scientific Reports 10. The photos carry no licence to pass them on.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smalti.quant.training import Batch


def photos(part: str, size: int) -> tuple[Tensor, Tensor]:
    """Return photos (N, 3, size, size) in 0..1 and masks (N, 1, size, size) of 0 and 1.

    part: `train` (810 photos) or `validation` (200). Photos of 512 pixels are averaged to `size`.

    Raises:
        FileNotFoundError: they are not in SMALTI_DATA.
    """
    folder = Path(os.environ.get("SMALTI_DATA", "data"), "wounds", part)
    if not (folder / "images").is_dir():
        raise FileNotFoundError(
            f"{folder / 'images'} is missing: put train/ and validation/ of 'data/Foot Ulcer "
            "Segmentation Challenge' of https://github.com/uwm-bigdata/wound-segmentation into "
            "SMALTI_DATA/wounds, and say SMALTI_DATA=<the folder above wounds>"
        )
    return _read(folder, size)


@cache
def _read(folder: Path, size: int) -> tuple[Tensor, Tensor]:
    files = sorted((folder / "images").glob("*.png"))
    images = torch.stack([_resized(file, size) for file in files])
    masks = torch.stack([_resized(folder / "labels" / file.name, size)[:1] for file in files])
    return images, (masks >= 0.5).float()


def _resized(path: Path, size: int) -> Tensor:
    """Read an image as (3, size, size) in 0..1; each pixel is the mean of those it stands for."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB").resize((size, size), Image.Resampling.BOX))
    return torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)


def turned(batch: Batch) -> Batch:
    """Mirror and turn a batch at random, and make its photos lighter or darker."""
    both = torch.rot90(torch.cat(batch, 1), int(torch.randint(4, ())), (2, 3))
    both = both.flip(3) if torch.rand(()) < 0.5 else both
    light = 0.8 + 0.4 * torch.rand(len(both), 1, 1, 1)
    return (both[:, :3] * light).clamp(max=1), both[:, 3:]
