"""A photo as a network of its coordinates alone, without any grid: the peers of the grids.

`sine` is SIREN (Sitzmann et al. 2020), whose layers end in sin(30 x); `fourier` sees sines and
cosines of random frequencies and has ReLUs (Tancik et al. 2020). With as many parameters as the
grids have, for what "Grids Often Outperform Implicit Neural Representations" compares (Kim and
Fridovich-Keil 2025). The weights stay in a file a kind; delete them to train again, for a minute
or two each.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn

from smalti.models import photo_field
from smalti.models.about import About
from smalti.models.trained import trained

ABOUT = About(
    papers=(
        "Sitzmann, Martel, Bergman, Lindell, Wetzstein 2020, Implicit Neural Representations with "
        "Periodic Activation Functions, arXiv 2006.09661",
        "Kim, Fridovich-Keil 2025, Grids Often Outperform Implicit Neural Representations, "
        "arXiv 2506.11139",
    ),
    metric="psnr",
    rises=True,
    data="256 x 256 pixels of scikit-image's astronaut",
    unit="dB",
)
REMARK = (
    "Every layer takes the sine of 30 times its sums, which magnifies rounding from layer to "
    "layer. int8 keeps the photo; with fewer bits, grids lose less."
)

CACHE = "siren.{}.safetensors"  # under SMALTI_CACHE, else in build/
KINDS = ("sine", "fourier")
WIDTH, LAYERS = 88, 4
STEPS = 500
RATES = {"sine": (2e-3, 1e-4), "fourier": (5e-3, 2e-4)}
FREQUENCY = 30.0  # omega_0 of the paper
_SPREAD = 8.0  # standard deviation of the random frequencies, in periods a photo


class Sine(nn.Module):
    """sin(30 (W x + b)); `first`: for inputs of any scale, such as coordinates."""

    def __init__(self, inputs: int, outputs: int, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        spread_(self.linear, 1 / inputs if first else None)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., inputs) -> (..., outputs)."""
        return torch.sin(FREQUENCY * self.linear(x))


def spread_(linear: nn.Linear, bound: float | None = None) -> None:
    """Draw weights as section 3.2 of SIREN does, for inputs that are sines; or within a bound."""
    nn.init.uniform_(linear.weight, -1, 1)
    with torch.no_grad():
        linear.weight *= (6 / linear.in_features) ** 0.5 / FREQUENCY if bound is None else bound


class Scaled(nn.Module):
    """factor x + offset, to and from [-1, 1], where sines are at home."""

    def __init__(self, factor: float, offset: float) -> None:
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x: Tensor) -> Tensor:
        """x: any shape."""
        return self.factor * x + self.offset


class Waves(nn.Module):
    """Sines and cosines of x (N, 2) at `count` random frequencies: (N, 2 * count)."""

    frequencies: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", 2 * pi * _SPREAD * torch.randn(2, count))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 2)."""
        phases = x @ self.frequencies
        return torch.cat([phases.sin(), phases.cos()], -1)


def network(kind: str) -> nn.Sequential:
    """Return the untrained net (N, 2) -> (N, 3) of one of KINDS."""
    last = nn.Linear(WIDTH, 3)
    if kind == "sine":
        spread_(last)
        hidden: list[nn.Module] = [Sine(WIDTH, WIDTH) for _ in range(LAYERS - 1)]
        first = Sine(2, WIDTH, first=True)
        return nn.Sequential(Scaled(2, -1), first, *hidden, last, Scaled(0.5, 0.5))
    hidden = [part for _ in range(LAYERS - 1) for part in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    return nn.Sequential(Waves(WIDTH // 2), *hidden, last, nn.Sigmoid())


def model(kind: str = "sine") -> nn.Sequential:
    """Return the net of one of KINDS that gives the photo, from the cache or trained now."""
    torch.manual_seed(0)
    steps, rates = STEPS, RATES[kind]
    return trained(
        CACHE.format(kind), network(kind), lambda module: photo_field.fit(module, steps, rates)
    )


example_inputs, calibration = photo_field.example_inputs, photo_field.calibration
evaluate, picture = photo_field.evaluate, photo_field.picture
