"""A photo as radial basis functions, more of them where it has detail.

Their part of NeuRBF (Chen et al. 2023), without its grid and its perceptron: a pixel is the mean of
the colours of its four nearest functions, weighted by their values. The weights stay in CACHE;
delete that file to train again, for a minute or two.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from smalti.models import photo_field
from smalti.models.about import About
from smalti.models.photo_field import Run
from smalti.models.pictures import centers, psnr
from smalti.models.trained import trained
from smalti.runtime.ops.rbf_encode.module import RbfEncoding

ABOUT = About(
    papers=(
        "Chen, Li, Song, Chen, Yu, Yuan, Xu 2023, NeuRBF: A Neural Fields Representation with "
        "Adaptive Radial Basis Functions, arXiv 2309.15426",
    ),
    metric="psnr",
    rises=True,
    data="256 x 256 pixels of scikit-image's astronaut",
    unit="dB",
)

CACHE = "photo_rbf.safetensors"  # under SMALTI_CACHE, else in build/
STEPS, BATCH, CENTERS = 400, 2048, 2600


def network() -> RbfEncoding:
    """Return (N, 2) -> colours (N, 3), untrained: functions drawn by the image's detail."""
    image = photo_field.pixels()
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
    (x,), wanted = example_inputs(), photo_field.colours()
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


def evaluate(run: Run) -> dict[str, float]:
    """Return how near the drawn photo is to it, in dB, and CENTERS even pixels of it."""
    image = photo_field.pixels()
    side = round(CENTERS**0.5)
    small = nn.functional.interpolate(image[None], (side, side), mode="area")
    even = nn.functional.interpolate(small, image.shape[1:], mode="bicubic")[0]
    return photo_field.evaluate(run) | {"psnr_even": psnr(even.numpy(), image.numpy())}


example_inputs, picture = photo_field.example_inputs, photo_field.picture
