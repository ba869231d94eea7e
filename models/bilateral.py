"""A photo's edit as a bilateral grid, learned from one pair of pictures in seconds.

The photo is matplotlib's; the edit, a tone curve and a cast of colour that both vary over the
picture, is made here. The weights stay in CACHE; delete that file to train again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from smalti.models.about import About
from smalti.models.pictures import portrait, psnr, side_by_side
from smalti.models.trained import trained
from smalti.runtime.ops.bilateral_slice.module import BilateralGrid, total_variation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Gharbi, Chen, Barron, Hasinoff, Durand 2017, Deep Bilateral Learning for Real-Time Image "
        "Enhancement, arXiv 1707.02880",
        "Wang, Wang, Gong, Xue 2024, Bilateral Guided Radiance Field Processing, arXiv 2406.00448",
    ),
    metric="psnr",
    rises=True,
    data="matplotlib's portrait of Grace Hopper, 512 x 600 pixels, and an edit of it made here",
    unit="dB",
)

REMARK = """The grid has no layers, and int8 is its one format of fewer bits: each of twelve
coefficients has a scale and an offset."""

CACHE = "bilateral.safetensors"  # under SMALTI_CACHE, else in build/
STEPS, STRIDE = 150, 3  # of training, on one in three rows and columns of the photo
_SMOOTHNESS = 1e-4

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def photo(stride: int = 1) -> Tensor:
    """Return the portrait (1, 3, 600, 512), or every `stride`-th pixel of it."""
    return portrait()[:, :, ::stride, ::stride].contiguous()


def edited(image: Tensor) -> Tensor:
    """Return the photo (1, 3, h, w) as somebody's edit: dark to the left, warm at the bottom."""
    x = torch.linspace(0, 1, image.shape[3])
    y = torch.linspace(0, 1, image.shape[2])[:, None]
    toned = image.clamp(min=1e-3) ** (1.6 - 0.9 * x)
    cast = torch.stack([0.85 + 0.3 * y + 0 * x, 1 - 0.1 * y * x, 1.1 - 0.4 * y * (1 - x)])
    return (toned * cast).clamp(0, 1)


def model() -> BilateralGrid:
    """Return the grid that edits as `edited` does, from the cache or learned now."""
    return trained(CACHE, BilateralGrid(), train)


def train(module: BilateralGrid) -> None:
    """Fit the grid to the photo, coarsely, and its edit."""
    image = photo(STRIDE)
    wanted = edited(image)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(STEPS):
        optimizer.zero_grad()
        error = (module(image) - wanted).square().mean()
        (error + _SMOOTHNESS * total_variation(module.grid)).backward()
        optimizer.step()


def example_inputs() -> tuple[Tensor]:
    """Return the photo."""
    return (photo(),)


def evaluate(run: Run) -> dict[str, float]:
    """Return how near the result is to the edit, in dB, and how near the photo was."""
    image = photo()
    wanted = edited(image).numpy()
    (found,) = run(image.numpy())
    return {"psnr": psnr(found, wanted), "psnr_unedited": psnr(image.numpy(), wanted)}


def picture(runs: dict[str, Run]) -> Figure:
    """Draw the photo, its edit, and what each file makes of the photo."""
    image = photo()
    wanted = edited(image).numpy()
    shown = {"photo": image.numpy(), "edit": wanted}
    for label, run in runs.items():
        (found,) = run(image.numpy())
        shown[f"{label}: {psnr(found, wanted):.1f} dB"] = found.clip(0, 1)
    return side_by_side({name: [x[0].transpose(1, 2, 0)] for name, x in shown.items()})
