"""The photo that recipes draw or edit, and how alike two pictures are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
