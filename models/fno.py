"""A Fourier neural operator (Li et al. 2020, arXiv 2010.08895) that solves Burgers' equation.

From a field at time 0 to the field at time 1, on periodic [0, 1) with viscosity 0.01: u_t + u u_x =
0.01 u_xx. The fields are made here, by a spectral solver of 256 points. The network learns on 128
points and, since its weights belong to frequencies, works on any other number: export it with
`example_inputs(256)`. The weights stay in CACHE; delete that file to train again, for a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu

from smalti.models.about import About
from smalti.models.batches import Shuffled
from smalti.models.trained import trained
from smalti.quant.training import fine_tune

ABOUT = About(
    papers=("Li et al. 2020, Fourier Neural Operator for Parametric PDEs, arXiv 2010.08895",),
    metric="relative_l2",
    rises=False,
    data="Burgers' equation from random smooth fields, solved here by a spectral method",
)
REMARK = (
    "The complex weights of the modes, most of the bytes, stay in float: they belong to no "
    "layer that has such a format. What rounding the others adds is small beside the solution, "
    "not beside .005."
)

CACHE = "fno.safetensors"  # under SMALTI_CACHE, else in build/
FINE, POINTS = 256, 128  # of the solver, of the network
VISCOSITY, STEPS = 0.01, 100  # of the solver, over one unit of time
WIDTH, MODES, LAYERS = 32, 16, 4
TRAINED, TESTED = 1000, 128  # fields
EPOCHS, BATCH = 40, 20

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def starts(count: int, seed: int) -> Array:
    """Return Gaussian random fields (count, FINE) of covariance 625 (25 - d2/dx2)^-2."""
    rng = np.random.default_rng(seed)
    waves = np.arange(FINE // 2 + 1)
    deviation = 25 / ((2 * np.pi * waves) ** 2 + 25) * FINE / np.sqrt(2)
    parts = rng.standard_normal((2, count, len(waves)))
    spectrum = deviation * (parts[0] + 1j * parts[1])
    spectrum[:, 0] = 0.0
    return np.fft.irfft(spectrum, FINE)


def solved(fields: Array) -> Array:
    """Return the fields (count, FINE) at time 1: diffusion exactly, the rest by Runge and Kutta."""
    waves = 2j * np.pi * np.arange(FINE // 2 + 1)
    step = 1 / STEPS
    half = np.exp(VISCOSITY * waves**2 * step / 2)
    kept = np.arange(FINE // 2 + 1) < FINE // 3  # of a square, so that nothing folds back

    def slope(u: Array) -> Array:
        return -0.5 * waves * kept * np.fft.rfft(np.fft.irfft(u, FINE) ** 2)

    u = np.fft.rfft(fields)
    for _ in range(STEPS):
        a = step * slope(u)
        b = step * slope(half * (u + a / 2))
        c = step * slope(half * u + b / 2)
        d = step * slope(half**2 * u + half * c)
        u = half**2 * (u + a / 6) + half * (b + c) / 3 + d / 6
    return np.fft.irfft(u, FINE)


@cache
def fields(count: int, seed: int, points: int) -> tuple[Tensor, Tensor]:
    """Return starts with their places (count, 2, points), and the fields of time 1."""
    first = starts(count, seed)
    both = np.stack([first, solved(first)])[:, :, :: FINE // points].astype(np.float32)
    places = np.broadcast_to(np.linspace(0, 1, points, endpoint=False), both[0].shape)
    given = np.stack([both[0], places.astype(np.float32)], 1)
    return torch.from_numpy(given), torch.from_numpy(both[1][:, None])


class Spectral(nn.Module):
    """The lowest MODES frequencies of (N, WIDTH, points), each mixed by a matrix of its own."""

    def __init__(self) -> None:
        super().__init__()
        start = torch.randn(WIDTH, WIDTH, MODES, dtype=torch.cfloat) / WIDTH
        self.weights = nn.Parameter(start)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, WIDTH, points), kept in shape."""
        low = torch.fft.rfft(x)[:, :, :MODES]
        bins = torch.zeros(*x.shape[:2], x.shape[-1] // 2 + 1, dtype=torch.cfloat)
        bins[:, :, :MODES] = torch.einsum("bix,iox->box", low, self.weights)
        found: Tensor = torch.fft.irfft(bins, n=x.shape[-1])
        return found


class FNO(nn.Module):
    """(N, 2, points), a field and its places -> the field later on, (N, 1, points)."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Conv2d(2, WIDTH, 1)
        self.spectral = nn.ModuleList(Spectral() for _ in range(LAYERS))
        self.skips = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 1) for _ in range(LAYERS))
        self.project = nn.Sequential(nn.Conv2d(WIDTH, 128, 1), nn.GELU(), nn.Conv2d(128, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 2, points)."""
        x = self.lift(x[:, :, None])
        for layer, skip in zip(self.spectral, self.skips, strict=True):
            mixed = layer(x[:, :, 0])[:, :, None] + skip(x)
            x = mixed if layer is self.spectral[-1] else gelu(mixed)
        found: Tensor = self.project(x)[:, :, 0]
        return found


def model() -> FNO:
    """Return the trained operator, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE, FNO(), train)


def relative_l2(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over fields of |found - wanted| / |wanted|."""
    result: Tensor = ((found - wanted).norm(dim=-1) / wanted.norm(dim=-1)).mean()
    return result


def train(module: nn.Module) -> None:
    """Minimise the relative error, as the paper does."""
    batches = Shuffled(*fields(TRAINED, 1, POINTS), batch=BATCH)
    fine_tune(module, batches, lambda m, b: relative_l2(m(b[0]), b[1]), EPOCHS, 2e-3)


def example_inputs(points: int | None = None) -> tuple[Tensor]:
    """Return test fields at time 0 (TESTED, 2, points); POINTS of them by default."""
    return (fields(TESTED, 0, points or POINTS)[0],)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield training fields."""
    return ((part,) for part in fields(TRAINED, 1, POINTS)[0][:256].split(32))


def evaluate(run: Run, points: int | None = None) -> dict[str, float]:
    """Return the relative L2 error over the test fields, on so many points."""
    given, wanted = fields(TESTED, 0, points or POINTS)
    found = torch.from_numpy(run(given.numpy())[0])
    return {"relative_l2": float(relative_l2(found, wanted))}


def picture(runs: dict[str, Run]) -> Any:
    """Return a figure of one field: before, the truth after, and what each file says."""
    from matplotlib.figure import Figure

    given, wanted = fields(TESTED, 0, POINTS)
    figure = Figure(figsize=(6, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.plot(given[0, 1], given[0, 0], color="#bbbbbb", label="time 0")
    axis.plot(given[0, 1], wanted[0, 0], color="black", lw=2.5, label="time 1")
    for name, run in runs.items():
        axis.plot(given[0, 1], run(given.numpy())[0][0, 0], lw=1, label=name)
    axis.set_xlabel("x")
    axis.set_ylabel("u")
    axis.legend(fontsize=7)
    return figure
