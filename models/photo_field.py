"""A photo as a field: what recipes share that learn colours from places.

The photo is a part of scikit-image's astronaut, 196.6 kB as it is. Places are the pixels' centers
in [0, 1]^2, row after row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.models.pictures import centers, photo, psnr, side_by_side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (256, 256)  # height, width
BATCH = 16384  # pixels a step
_CORNER = (0, 96)  # row and column of the part

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def pixels() -> Tensor:
    """Return the part of the photo (3, *SIZE) in 0..1: a face and a collar."""
    (top, left), (height, width) = _CORNER, SIZE
    return photo("astronaut")[0, :, top : top + height, left : left + width]


def colours() -> Tensor:
    """Return the pixels as the network is to give them: (h * w, 3)."""
    return pixels().flatten(1).T.contiguous()


def example_inputs() -> tuple[Tensor]:
    """Return the places of all pixels: (h * w, 2)."""
    return (centers(*SIZE),)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield all places in random order, 4096 at a time."""
    (x,) = example_inputs()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    yield from ((x[chosen],) for chosen in order.split(4096))


def fit(module: nn.Module, steps: int, rates: tuple[float, float]) -> None:
    """Train a module (N, 2) -> (N, 3) on BATCH random pixels a step.

    rates: of learning, the first and the last; in between they fall geometrically.
    """
    (x,), wanted = example_inputs(), colours()
    optimizer = torch.optim.Adam(module.parameters(), lr=rates[0], eps=1e-15)
    decay = (rates[1] / rates[0]) ** (1 / max(steps, 1))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    random = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,), generator=random)
        optimizer.zero_grad()
        (module(x[chosen]) - wanted[chosen]).square().mean().backward()
        optimizer.step()
        schedule.step()


def evaluate(run: Run) -> dict[str, float]:
    """Return the peak signal-to-noise ratio to the photo, in dB, of colours clipped to 0..1."""
    (found,) = run(example_inputs()[0].numpy())
    return {"psnr": psnr(found.clip(0, 1), colours().numpy())}


def picture(runs: dict[str, Run]) -> Figure:
    """Draw the photo and what each file gives."""
    (x,) = example_inputs()
    shown = {label: run(x.numpy())[0] for label, run in runs.items()} | {"photo": colours().numpy()}
    images = {label: [found.reshape(*SIZE, 3).clip(0, 1)] for label, found in shown.items()}
    return side_by_side(images, inches=2.6)
