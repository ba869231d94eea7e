"""A photo as grids of features: dense, hashed, of simplices, or of one colour a cell.

Coordinates in [0, 1]^2 are encoded by `GridEncoding`; a small perceptron makes colours of the
features, except in `nearest`, whose one grid holds them itself (quantized coordinates). The photo
is matplotlib's. The weights stay in a file a kind; delete them to train again, for a
minute or two each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from smalti.models.about import About
from smalti.models.pictures import centers, portrait, psnr
from smalti.models.trained import trained
from smalti.runtime.ops.grid_encode.module import GridEncoding, resolutions

ABOUT = About(
    papers=(
        "Müller, Evans, Schied, Keller 2022, Instant Neural Graphics Primitives with a "
        "Multiresolution Hash Encoding, arXiv 2201.05989",
    ),
    metric="psnr",
    rises=True,
    data="matplotlib's portrait of Grace Hopper, 160 x 192 pixels",
    unit="dB",
)

CACHE = "image_grid.{}.safetensors"  # under SMALTI_CACHE, else in build/
SIZE = (192, 160)  # pixels the photo is resized to
STEPS, HIDDEN = 600, 32
_RATES = 0.02, 0.002  # at the start and at the end
KINDS = ("dense", "hash", "simplex", "nearest")

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def photo() -> Tensor:
    """Return the portrait (h * w, 3) in 0..1, resized to SIZE."""
    small = interpolate(portrait(), SIZE, mode="bilinear", antialias=True)
    return small[0].flatten(1).T.contiguous()


def network(kind: str) -> nn.Sequential:
    """Return the untrained net (N, 2) -> (N, 3) of one of KINDS.

    Grids grow up to half of the photo's resolution, of 4 features each. Hashed ones have at most
    1024 rows, fewer than a dense one has vertices from the fourth level on.
    """
    height, width = SIZE
    if kind == "nearest":
        sizes = (width // 2 + 1, height // 2 + 1)
        return nn.Sequential(GridEncoding(2, [sizes], 3, interpolation="nearest"))
    growth = (height / 2 / 8) ** (1 / 5)
    log2_rows = 22 if kind == "dense" else 10
    interpolation = "simplex" if kind == "simplex" else "linear"
    grid = GridEncoding(2, resolutions(8, growth, 6), 4, log2_rows, interpolation)
    last = nn.Linear(HIDDEN, 3)
    return nn.Sequential(grid, nn.Linear(24, HIDDEN), nn.ReLU(), last, nn.Sigmoid())


def model(kind: str = "hash") -> nn.Sequential:
    """Return the net of one of KINDS that gives the photo, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE.format(kind), network(kind), train)


def train(module: nn.Module) -> None:
    """Fit the net to all pixels at once; the rate falls geometrically."""
    x, wanted = centers(*SIZE), photo()
    optimizer = torch.optim.Adam(module.parameters(), lr=_RATES[0], eps=1e-15)
    decay = (_RATES[1] / _RATES[0]) ** (1 / max(STEPS, 1))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (module(x) - wanted).square().mean().backward()
        optimizer.step()
        schedule.step()


def example_inputs() -> tuple[Tensor]:
    """Return the pixels' coordinates."""
    return (centers(*SIZE),)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield all pixels' coordinates."""
    yield example_inputs()


def stored_bytes(module: nn.Module) -> int:
    """Return the bytes of all parameters and buffers."""
    return sum(t.nbytes for t in module.state_dict().values())


def evaluate(run: Run) -> dict[str, float]:
    """Return the peak signal-to-noise ratio to the photo, in dB."""
    (found,) = run(example_inputs()[0].numpy())
    return {"psnr": psnr(found, photo().numpy())}
