"""A photo as one polynomial of the place: Poly-INR, a network without sines or grids.

Poly-INR (Singh, Shukla, Turaga 2023) multiplies features, after each linear layer and leaky ReLU,
by another affine transform of the coordinates, which raises the degree by one a level. The paper
draws many images with one large network of this kind; here a small one keeps a single photo. The
weights stay in CACHE; delete that file to train again, for a minute or two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from smalti.models import photo_field
from smalti.models.about import About
from smalti.models.trained import trained

ABOUT = About(
    papers=(
        "Singh, Shukla, Turaga 2023, Polynomial Implicit Neural Representations For Large Diverse "
        "Datasets, arXiv 2303.11424",
    ),
    metric="psnr",
    rises=True,
    data="256 x 256 pixels of scikit-image's astronaut",
    unit="dB",
)
REMARK = (
    "Every layer multiplies what those before it gave, and their rounding errors with it; int8 "
    "keeps it within half a decibel."
)

CACHE = "poly_inr.safetensors"  # under SMALTI_CACHE, else in build/
WIDTH, LEVELS = 44, 10
STEPS, RATES = 800, (3e-3, 1e-4)
_SLOPE = 0.2


class PolyINR(nn.Module):
    """Places (N, 2) in [0, 1] -> colours (N, 3), of degree LEVELS + 1 on each piece."""

    def __init__(self) -> None:
        super().__init__()
        self.affine = nn.ModuleList(_drawn(nn.Linear(2, WIDTH), 1.0) for _ in range(LEVELS + 1))
        self.layers = nn.ModuleList(
            _drawn(nn.Linear(WIDTH, WIDTH), WIDTH**-0.5) for _ in range(LEVELS)
        )
        self.last = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 2)."""
        x = 2 * x - 1
        first, *others = self.affine
        y = first(x)
        for layer, affine in zip(self.layers, others, strict=True):
            y = leaky_relu(layer(y), _SLOPE) * affine(x)
        found: Tensor = self.last(y)
        return found


def _drawn(linear: nn.Linear, deviation: float) -> nn.Linear:
    """Draw the weights, so that products of levels neither vanish nor explode."""
    nn.init.normal_(linear.weight, std=deviation)
    nn.init.normal_(linear.bias, std=deviation)
    return linear


def model() -> PolyINR:
    """Return the network that gives the photo, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE, PolyINR(), train)


def train(module: PolyINR) -> None:
    """Fit the photo."""
    photo_field.fit(module, STEPS, RATES)


example_inputs, calibration = photo_field.example_inputs, photo_field.calibration
evaluate, picture = photo_field.evaluate, photo_field.picture
