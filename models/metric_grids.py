"""A photo as metric grids: one table of features, read at three warps of every point.

MetricGrids (Wang et al. 2025) sums features found at x, sin x and arcsin x as terms of a series; a
decoder of sines, each layer multiplied by the squared sine of one of the features (the first by
that of the place), makes colours of the sum. The weights stay in CACHE; delete that file to train
again, for a minute or two.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smalti.models import photo_field
from smalti.models.about import About
from smalti.models.siren import FREQUENCY, Sine, spread_
from smalti.models.trained import trained
from smalti.runtime.ops.grid_encode.module import GridEncoding
from smalti.runtime.ops.grid_encode.op import WARPS

ABOUT = About(
    papers=(
        "Wang, Gao, Li, Lv, Cai, Li, Yuan, Zhang 2025, MetricGrids: Arbitrary Nonlinear "
        "Approximation with Elementary Metric Grids based Implicit Neural Representation, "
        "arXiv 2503.10000",
    ),
    metric="psnr",
    rises=True,
    data="256 x 256 pixels of scikit-image's astronaut",
    unit="dB",
)
REMARK = (
    "What is lost with fewer bits is lost in the tables, whose features come in codes of 4 or 2 "
    "bits; int8 keeps it."
)

CACHE = "metric_grids.safetensors"  # under SMALTI_CACHE, else in build/
LEVELS, FEATURES, HIDDEN, LAYERS = (16, 71), 4, 32, 3
STEPS, RATES = 400, (5e-3, 2e-4)


class MetricGrids(nn.Module):
    """Places (N, 2) in [0, 1] -> colours (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        found = len(LEVELS) * FEATURES
        self.grid = GridEncoding(2, LEVELS, FEATURES)
        self.layers, self.modulators = nn.ModuleList(), nn.ModuleList()
        for i in range(LAYERS):
            self.layers.append(Sine(HIDDEN if i else found, HIDDEN, first=not i))
            self.modulators.append(nn.Linear(found if i else 2, HIDDEN))
        self.last = nn.Linear(HIDDEN, 3)
        spread_(self.last)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 2)."""
        terms = [self.grid(x, warp) for warp in WARPS]
        y = torch.stack(terms).sum(0)
        for layer, modulator, seen in zip(self.layers, self.modulators, [x, *terms], strict=False):
            y = layer(y) * torch.sin(FREQUENCY * modulator(seen)).square()
        found: Tensor = 0.5 + self.last(y)
        return found


def model() -> MetricGrids:
    """Return the grids that give the photo, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE, MetricGrids(), train)


def train(module: MetricGrids) -> None:
    """Fit the photo."""
    photo_field.fit(module, STEPS, RATES)


example_inputs, calibration = photo_field.example_inputs, photo_field.calibration
evaluate, picture = photo_field.evaluate, photo_field.picture
