"""A photo's edit as a bilateral grid, learned from one pair of pictures in seconds.

The photo is matplotlib's; the edit, a tone curve and a cast of colour that both vary over the
picture, is made here. The weights stay in CACHE; delete that file to train again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from smalti.runtime.ops.bilateral_slice.module import BilateralGrid, total_variation

CACHE = "bilateral.safetensors"  # under SMALTI_CACHE, else in build/
STEPS, STRIDE = 150, 3  # of training, on one in three rows and columns of the photo
_SMOOTHNESS = 1e-4

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def photo(stride: int = 1) -> Tensor:
    """Return Grace Hopper's portrait (1, 3, 600, 512) in 0..1, or every `stride`-th pixel of it."""
    import matplotlib
    from matplotlib.image import imread

    path = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    pixels = imread(path)[::stride, ::stride].transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(pixels)[None] / np.float32(255))


def edited(image: Tensor) -> Tensor:
    """Return the photo (1, 3, h, w) as somebody's edit: dark to the left, warm at the bottom."""
    x = torch.linspace(0, 1, image.shape[3])
    y = torch.linspace(0, 1, image.shape[2])[:, None]
    toned = image.clamp(min=1e-3) ** (1.6 - 0.9 * x)
    cast = torch.stack([0.85 + 0.3 * y + 0 * x, 1 - 0.1 * y * x, 1.1 - 0.4 * y * (1 - x)])
    return (toned * cast).clamp(0, 1)


def model() -> BilateralGrid:
    """Return the grid that edits as `edited` does, from the cache or learned now."""
    path = Path(os.environ.get("SMALTI_CACHE", "build"), CACHE)
    module = BilateralGrid()
    if not path.is_file():
        train(module, photo(STRIDE), STEPS)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        save_file(module.state_dict(), draft)
        os.replace(draft, path)
    module.load_state_dict(load_file(path))
    return module.eval()


def train(module: BilateralGrid, image: Tensor, steps: int) -> None:
    """Fit the grid to an image and its edit."""
    wanted = edited(image)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        error = (module(image) - wanted).square().mean()
        (error + _SMOOTHNESS * total_variation(module.grid)).backward()
        optimizer.step()


def example_inputs() -> tuple[Tensor]:
    """Return the photo."""
    return (photo(),)


def psnr(found: Array, wanted: Array) -> float:
    """Return the peak signal-to-noise ratio in dB of values in 0..1."""
    return float(-10 * np.log10(np.square(found - wanted, dtype=np.float64).mean()))


def evaluate(run: Run) -> dict[str, float]:
    """Return how near the result is to the edit, in dB, and how near the photo was."""
    image = photo()
    wanted = edited(image).numpy()
    (found,) = run(image.numpy())
    return {"psnr": psnr(found, wanted), "psnr_unedited": psnr(image.numpy(), wanted)}
