"""HyperLISTA (Chen, Liu, Wang, Yin 2021): sparse signals from half as many measurements.

Sixteen layers share two matrices: A, which made the measurements, and W = G'G A of small mutual
coherence, here for the G that makes G A a tight frame, so that W' is A's pseudoinverse times 2.
Thresholds, momentum and the support that escapes the thresholds follow from three hyperparameters,
found by search. Each layer multiplies the error by about 1/4 (6 dB) in float. A stays in float,
since what it gets wrong no layer can mend; an error of W only makes the layers slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.export.fold import Basis
from smalti.models.about import About
from smalti.models.series import Run
from smalti.models.trained import trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Chen, Liu, Wang, Yin 2021, Hyperparameter Tuning is All You Need for LISTA, "
        "arXiv 2110.15900",
    ),
    metric="nmse",
    rises=False,
    data="250 noiseless measurements by a Gaussian matrix of 500 numbers, of which 10 % are normal "
    "and the others 0; made here, as the paper defines them",
    unit="dB",
)
CACHE = "hyperlista.safetensors"  # under SMALTI_CACHE, else in build/
MEASUREMENTS, LENGTH, LAYERS = 250, 500, 16
DENSITY = 0.1
START = (0.0075, 0.004, 0.2)  # of the search: thresholds, momentum, support
FACTORS, SWEEPS = (0.7, 0.85, 1.2, 1.4), 3
TUNED, TESTED = 256, 256  # signals

Array = NDArray[Any]


class HyperLISTA(nn.Module):
    """Measurements (N, m) of a matrix A (m, n) -> estimates after each layer (N, LAYERS, n)."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        m, n = matrix.shape
        self.measure, self.back = Basis(n, m, bias=False), nn.Linear(m, n, bias=False)
        self.c = nn.Parameter(torch.tensor(START))
        with torch.no_grad():
            self.measure.weight.copy_(matrix)
            self.back.weight.copy_(n / m * torch.linalg.pinv(matrix.double()))

    def forward(self, b: Tensor) -> Tensor:
        """b: (N, m)."""
        step = self.back(-b)  # as x is 0
        first = step.abs().sum(1, keepdim=True)
        x = self._shrunk(-step, first, first)
        before, found = torch.zeros_like(x), [x]
        for _ in range(LAYERS - 1):
            step = self.back(self.measure(x) - b)
            missing = step.abs().sum(1, keepdim=True)  # equation 14: of x, up to a factor
            support = (x != 0).to(x.dtype).sum(1, keepdim=True)
            z = x - step + self.c[1] * support * (x - before)
            before, x = x, self._shrunk(z, missing, first)
            found.append(x)
        return torch.stack(found, 1)

    def _shrunk(self, z: Tensor, missing: Tensor, first: Tensor) -> Tensor:
        """Soft threshold (N, n), which the largest escape: the more, the less is missing."""
        size, theta = z.abs(), self.c[0] * missing
        part = (self.c[2] * (first / missing.clamp(min=1e-20)).log()).clamp(0, 1)
        last = (part * (z.shape[1] - 1)).round().long()
        smallest = torch.topk(size, z.shape[1])[0].gather(1, last)
        shrunk = z.sign() * (size - theta).clamp(min=0)
        return torch.where(size >= torch.maximum(smallest, theta), z, shrunk)


def dictionary() -> Tensor:
    """Return A: Gaussian, with columns of length 1."""
    found = torch.randn(MEASUREMENTS, LENGTH, generator=torch.Generator().manual_seed(0))
    result: Tensor = found / found.norm(dim=0)
    return result


def signals(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return sparse signals (count, n) and their measurements (count, m)."""
    generator = torch.Generator().manual_seed(seed)
    there = torch.rand(count, LENGTH, generator=generator) < DENSITY
    x = there * torch.randn(count, LENGTH, generator=generator)
    return x, x @ dictionary().T


def nmse(found: Array, wanted: Array) -> Array:
    """Return dB after each layer, of estimates (N, LAYERS, n) of signals (N, n)."""
    errors = np.square(found - wanted[:, None], dtype=np.float64).sum((0, 2))
    ratio: Array = errors / np.square(wanted, dtype=np.float64).sum()
    return 10 * np.log10(ratio)


def model() -> HyperLISTA:
    """Return the network with its three hyperparameters, from the cache or searched now."""
    return trained(CACHE, HyperLISTA(dictionary()), train)


@torch.no_grad()
def train(module: HyperLISTA) -> None:
    """Try factors of each hyperparameter in turn, and keep what makes the last layer's error less.

    The paper searches a grid.
    """
    x, b = signals(TUNED, seed=1)

    def error(c: Tensor) -> float:
        module.c.copy_(c)
        return float(nmse(module(b).numpy(), x.numpy())[-1])

    best = module.c.clone()
    for i in [0, 1, 2] * SWEEPS:
        tried = [best * torch.ones(3).index_fill(0, torch.tensor(i), f) for f in (1.0, *FACTORS)]
        best = min(tried, key=error)
    module.c.copy_(best)


def example_inputs() -> tuple[Tensor]:
    """Return the measurements of the first test signal."""
    return (signals(1, seed=0)[1],)


def dynamic_shapes() -> tuple[dict[int, Any]]:
    """Return the axis of the input whose length is free."""
    return ({0: torch.export.Dim("batch")},)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield batches of the measurements that the hyperparameters were searched with."""
    yield from ((part,) for part in signals(TUNED, seed=1)[1].split(64))


def estimates(run: Run) -> tuple[Array, Array]:
    """Return what a run makes of the test signals, one at a time, and the signals."""
    x, b = signals(TESTED, seed=0)
    return np.concatenate([run(one.numpy())[0] for one in b.split(1)]), x.numpy()


def evaluate(run: Run) -> dict[str, float]:
    """Return the normalized mean squared error after the last layer, in dB."""
    return {"nmse": float(nmse(*estimates(run))[-1])}


def picture(runs: Mapping[str, Run]) -> Figure:
    """Return the error over the layers."""
    from matplotlib.figure import Figure

    figure = Figure((6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="layers", ylabel="NMSE (dB)")
    for label, run in runs.items():
        axes.plot(range(1, LAYERS + 1), nmse(*estimates(run)), label=label)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure
