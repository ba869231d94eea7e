"""A photo as radial basis functions, more of them where it has detail (NeuRBF: Chen et al. 2023).

The weights stay in CACHE; delete that file to train again, for about half a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from smalti.models.bilateral import photo, psnr
from smalti.runtime.ops.rbf_encode.module import RbfEncoding

CACHE = "rbf_image.safetensors"  # under SMALTI_CACHE, else in build/
STEPS, BATCH, CENTERS = 200, 2048, 800
_FACE = (slice(150, 278), slice(190, 318))  # rows, columns

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def face() -> Tensor:
    """Return a part of the photo (3, 128, 128) in 0..1."""
    return photo()[0][:, *_FACE]


def places(height: int, width: int) -> Tensor:
    """Return (x, y) of all pixels' centers, (height * width, 2) in [0, 1]."""
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij"
    )
    return torch.stack([x, y], -1).reshape(-1, 2)


def network(image: Tensor) -> RbfEncoding:
    """Return (N, 2) -> colours (N, 3), untrained: functions drawn by the image's detail."""
    gray = image.mean(0)
    detail = 0.02 + gray.diff(dim=0)[:, 1:].abs() + gray.diff(dim=1)[1:].abs()
    padded = nn.functional.pad(detail[None], (1, 0, 1, 0), mode="replicate")[0]
    random = torch.Generator().manual_seed(0)
    chosen = padded.flatten().multinomial(CENTERS, generator=random)
    shapes = (CENTERS * torch.eye(2)).flatten().repeat(CENTERS, 1)
    colours = image.flatten(1).T[chosen]
    return RbfEncoding(places(*image.shape[1:])[chosen], shapes, colours, kernel="gaussian")


def model() -> RbfEncoding:
    """Return the functions that draw the face, from the cache or trained now."""
    path = Path(os.environ.get("SMALTI_CACHE", "build"), CACHE)
    image = face()
    module = network(image)
    if not path.is_file():
        train(module, image)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        save_file(module.state_dict(), draft)
        os.replace(draft, path)
    module.load_state_dict(load_file(path))
    return module.eval()


def train(module: RbfEncoding, image: Tensor) -> None:
    """Fit shapes, in steps of their size, and colours to the image's pixels."""
    x, wanted = places(*image.shape[1:]), image.flatten(1).T
    shapes = {"params": [module.shapes], "lr": 0.3 * CENTERS}
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
    return (places(*face().shape[1:]),)


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
