"""The photo that recipes draw or edit, how alike two pictures are, and pictures side by side."""

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
