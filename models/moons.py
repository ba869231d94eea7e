"""A neural spline flow (Durkan et al. 2019) on two moons: the density of points, and new ones.

Four coupling layers take points to a normal distribution, and back. The moons are made here, so
that their own density is known: no model has fewer nats a point on average. There and back points
move by at most 2e-6. The weights stay in CACHE; delete that file to train again, for about half a
minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.models.about import About
from smalti.models.flow import Flow, unlikelihood
from smalti.models.pictures import side_by_side
from smalti.models.trained import trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=("Durkan, Bekasov, Murray, Papamakarios 2019, Neural Spline Flows, arXiv 1906.04032",),
    metric="nats",
    rises=False,
    data="two moons with noise, made here; their own density has the least nats there can be",
    unit="nats a point",
)

CACHE = "moons.safetensors"  # under SMALTI_CACHE, else in build/
LAYERS, HIDDEN, BINS = 4, 32, 8
STEPS, BATCH = 1500, 512
NOISE, CENTER = 0.1, (0.5, 0.25)
TESTED = 4096  # points

Array = NDArray[Any]
Points = NDArray[np.float32]
Run = Callable[..., list[Array]]


def arcs(angles: Array) -> Array:
    """Both moons' points (2, ..., 2) at angles (...) in [0, pi]: half circles, one upside down."""
    upper = np.stack([np.cos(angles), np.sin(angles)], -1)
    return np.stack([upper, (1.0, 0.5) - upper]) - CENTER


def moons(count: int, seed: int) -> Points:
    """Return points (count, 2), half of them of each moon on average."""
    rng = np.random.default_rng(seed)
    both, which = arcs(rng.uniform(0, pi, count)), rng.integers(0, 2, count)
    points = both[which, np.arange(count)] + NOISE * rng.standard_normal((count, 2))
    found: Points = points.astype(np.float32)
    return found


def density(points: Array) -> Array:
    """Return the logarithm of the moons' own density at (N, 2): an integral over the arcs."""
    spots = arcs((np.arange(500) + 0.5) * (pi / 500)).reshape(-1, 2)
    squares = np.square(points[:, None].astype(np.float64) - spots).sum(-1) / NOISE**2
    found: Array = np.log(np.exp(-0.5 * squares).mean(1) / (2 * pi * NOISE**2))
    return found


def model() -> Flow:
    """Return the trained flow, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE, Flow(2, LAYERS, HIDDEN, BINS), train)


def train(module: nn.Module) -> None:
    """Maximise the likelihood of new points at each step; the rate falls to zero."""
    optimizer = torch.optim.Adam(module.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(STEPS, 1))
    for step in range(STEPS):
        optimizer.zero_grad()
        unlikelihood(module, (torch.from_numpy(moons(BATCH, 1 + step)),)).backward()
        optimizer.step()
        schedule.step()


def example_inputs() -> tuple[Tensor]:
    """Return TESTED points that training never sees."""
    return (torch.from_numpy(moons(TESTED, 0)),)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield other points than those that count."""
    yield (torch.from_numpy(moons(TESTED, 1)),)


def dynamic_shapes() -> tuple[dict[int, Any]]:
    """Return the axis of the input whose length is free."""
    return ({0: torch.export.Dim("points")},)


def evaluate(run: Run) -> dict[str, float]:
    """Return nats a point (mean negative log density): the model's, a Gaussian's, the moons' own.

    The Gaussian has mean and covariance of these very points.
    """
    points = example_inputs()[0].numpy()
    spread = np.linalg.slogdet(2 * pi * np.cov(points.T, bias=True))[1]
    return {
        "nats": -float(np.mean(run(points)[1])),
        "nats_gaussian": 0.5 * float(spread) + 1.0,
        "nats_moons": -float(np.mean(density(points))),
    }


def picture(runs: dict[str, Run]) -> Figure:
    """Draw the densities of the moons and of each file, at TESTED points of a lattice."""
    side = int(TESTED**0.5)
    x, y = np.meshgrid(np.linspace(-1.9, 1.9, side), np.linspace(1.4, -1.4, side))
    points: Points = np.stack([x, y], -1).reshape(TESTED, 2).astype(np.float32)
    logs = {"moons": density(points)} | {label: run(points)[1] for label, run in runs.items()}
    peak = np.exp(logs["moons"]).max()
    return side_by_side(
        {name: [np.exp(found).reshape(side, side) / peak] for name, found in logs.items()}
    )
