"""A photo as radial basis functions, more of them where it has detail (NeuRBF: Chen et al. 2023).

The weights stay in CACHE; delete that file to train again, for about half a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.models.about import About
from smalti.models.pictures import centers, portrait, psnr
from smalti.models.trained import trained
from smalti.runtime.ops.rbf_encode.module import RbfEncoding

ABOUT = About(
    papers=(
        "Chen, Li, Song, Chen, Yu, Yuan, Xu 2023, NeuRBF: A Neural Fields Representation with "
        "Adaptive Radial Basis Functions, arXiv 2309.15426",
    ),
    metric="psnr",
    rises=True,
    data="a part of matplotlib's portrait of Grace Hopper, 128 x 128 pixels",
    unit="dB",
)

CACHE = "rbf_image.safetensors"  # under SMALTI_CACHE, else in build/
STEPS, BATCH, CENTERS = 200, 2048, 800
_FACE = (slice(150, 278), slice(190, 318))  # rows, columns

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def face() -> Tensor:
    """Return a part of the portrait (3, 128, 128) in 0..1."""
    return portrait()[0][:, *_FACE]


def network() -> RbfEncoding:
    """Return (N, 2) -> colours (N, 3), untrained: functions drawn by the image's detail."""
    image = face()
    gray = image.mean(0)
    detail = 0.02 + gray.diff(dim=0)[:, 1:].abs() + gray.diff(dim=1)[1:].abs()
    padded = nn.functional.pad(detail[None], (1, 0, 1, 0), mode="replicate")[0]
    random = torch.Generator().manual_seed(0)
    chosen = padded.flatten().multinomial(CENTERS, generator=random)
    shapes = (CENTERS * torch.eye(2)).flatten().repeat(CENTERS, 1)
    colours = image.flatten(1).T[chosen]
    return RbfEncoding(centers(*image.shape[1:])[chosen], shapes, colours, kernel="gaussian")


def model() -> RbfEncoding:
    """Return the functions that draw the face, from the cache or trained now."""
    return trained(CACHE, network(), train)


def train(module: RbfEncoding) -> None:
    """Fit shapes, in steps of their size, and colours to the image's pixels."""
    (x,), wanted = example_inputs(), face().flatten(1).T
    shapes: dict[str, Any] = {"params": [module.shapes], "lr": 0.3 * CENTERS}
    optimizer = torch.optim.Adam([shapes, {"params": [module.features]}], lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    random = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        chosen = torch.randint(len(x), (BATCH,), generator=random)
        optimizer.zero_grad()
        (module(x[chosen]) - wanted[chosen]).square().mean().backward()
        optimizer.step()
        schedule.step()


def example_inputs() -> tuple[Tensor]:
    """Return the places of all pixels."""
    return (centers(*face().shape[1:]),)


def evaluate(run: Run) -> dict[str, float]:
    """Return how near the drawn face is to the photo, in dB, and one of CENTERS even pixels."""
    image = face()
    (found,) = run(example_inputs()[0].numpy())
    side = round(CENTERS**0.5)
    small = nn.functional.interpolate(image[None], (side, side), mode="area")
    even = nn.functional.interpolate(small, image.shape[1:], mode="bicubic")[0]
    return {
        "psnr": psnr(found, image.flatten(1).T.numpy()),
        "psnr_even": psnr(even.numpy(), image.numpy()),
    }
