"""A photo as grids of features: dense, hashed, of simplices, or of colours alone.

Places in [0, 1]^2 are encoded by `GridEncoding`; a small perceptron makes colours of the features,
except in `linear` and `nearest`, whose one grid holds colours itself: interpolated (the grids of
Kim and Fridovich-Keil 2025) or not (quantized coordinates). All have about 24000 parameters. The
weights stay in a file a kind; delete them to train again, for a minute or two each.
"""

from __future__ import annotations

import torch
from torch import nn

from smalti.models import photo_field
from smalti.models.about import About
from smalti.models.trained import trained
from smalti.runtime.ops.grid_encode.module import GridEncoding, resolutions

ABOUT = About(
    papers=(
        "Müller, Evans, Schied, Keller 2022, Instant Neural Graphics Primitives with a "
        "Multiresolution Hash Encoding, arXiv 2201.05989",
        "Kim, Fridovich-Keil 2025, Grids Often Outperform Implicit Neural Representations, "
        "arXiv 2506.11139",
    ),
    metric="psnr",
    rises=True,
    data="256 x 256 pixels of scikit-image's astronaut",
    unit="dB",
)
REMARK = (
    "What is lost with fewer bits is lost in the table, whose features come in codes of 4 or 2 "
    "bits; int8 keeps it."
)

CACHE = "photo_grid.{}.safetensors"  # under SMALTI_CACHE, else in build/
STEPS, HIDDEN, FEATURES = 600, 32, 4
KINDS = ("dense", "hash", "simplex", "linear", "nearest")
_LEVELS = (8, 16, 32, 64)  # vertices along an axis of the dense grids
_HASHED = resolutions(16, 8 ** (1 / 6), 7)  # to 128; the last five have 1024 rows
ALONE = ("linear", "nearest")  # kinds without a perceptron
_FINE = 89  # vertices along an axis of their grids
_RATES, _RATES_ALONE = (0.02, 0.001), (0.1, 0.005)


def network(kind: str) -> nn.Sequential:
    """Return the untrained net (N, 2) -> (N, 3) of one of KINDS."""
    if kind in ALONE:
        return nn.Sequential(GridEncoding(2, [_FINE], 3, interpolation=kind))
    levels = _HASHED if kind == "hash" else _LEVELS
    interpolation = "simplex" if kind == "simplex" else "linear"
    log2_rows = 10 if kind == "hash" else 22
    grid = GridEncoding(2, levels, FEATURES, log2_rows, interpolation)
    first, last = nn.Linear(len(levels) * FEATURES, HIDDEN), nn.Linear(HIDDEN, 3)
    return nn.Sequential(grid, first, nn.ReLU(), last, nn.Sigmoid())


def model(kind: str = "hash") -> nn.Sequential:
    """Return the net of one of KINDS that gives the photo, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE.format(kind), network(kind), train)


def train(module: nn.Sequential) -> None:
    """Fit the photo; colours alone take larger steps."""
    photo_field.fit(module, STEPS, _RATES if len(module) > 1 else _RATES_ALONE)


example_inputs, calibration = photo_field.example_inputs, photo_field.calibration
evaluate, picture = photo_field.evaluate, photo_field.picture
