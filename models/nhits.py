"""N-HiTS (Challu et al. 2023) on ETTh1: hourly readings of a power transformer, four days ahead.

Three blocks look at twenty days, each pooled at its own rate, take off what they explain and pass
on the rest. What a block adds to the forecast are a few knots, one a day, one in half a day and one
an hour, and lines between them: a product with a constant matrix in the exported file. All channels
share the weights, and each is forecast from its own past. Half the paper's width, with dropout:
full width without it did worse on the validation part. The weights stay in CACHE; delete that file
to train again, for a minute or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smalti.models import series
from smalti.models.about import About
from smalti.models.series import Load, Run
from smalti.models.trained import trained
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Challu, Olivares, Oreshkin, Garza, Mergenthaler-Canseco, Dubrawski 2023, N-HiTS: Neural "
        "Hierarchical Interpolation for Time Series Forecasting, arXiv 2201.12886",
    ),
    metric="mse",
    rises=False,
    data="ETTh1 of ETT-small (Zhou et al. 2021), by the hour, from SMALTI_DATA",
)
PAST, AHEAD, WIDTH = 480, 96, 256  # hours, hours, features
POOLS, HOURS = (16, 8, 1), (24, 12, 1)  # of each block; the pools divide PAST
CACHE = "nhits.safetensors"  # under SMALTI_CACHE, else in build/
EPOCHS, BATCH, DROPOUT = 2, 64, 0.3  # by the validation part


class Block(nn.Module):
    """A past (..., past) -> what it explains of it (..., past), and of what comes (..., ahead).

    pool: how many hours, a part of `past`, give their maximum. hours: from knot to knot.
    """

    def __init__(self, past: int, ahead: int, pool: int, hours: int) -> None:
        super().__init__()
        self.past, self.ahead, self.pool = past, ahead, pool
        knots = max(ahead // hours, 1)
        self.perceptron = nn.Sequential(
            nn.Linear(past // pool, WIDTH),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(WIDTH, WIDTH),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(WIDTH, past + knots),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, C, past)."""
        found = self.perceptron(x.unflatten(-1, (-1, self.pool)).amax(-1))
        explained, knots = found[..., : self.past], found[..., self.past :]
        return explained, functional.interpolate(knots, self.ahead, mode="linear")


class NHiTS(nn.Module):
    """(N, past, C) -> (N, ahead, C): the last value, and what the blocks add to it."""

    def __init__(self, past: int, ahead: int) -> None:
        super().__init__()
        rates = zip(POOLS, HOURS, strict=True)
        self.blocks = nn.ModuleList(Block(past, ahead, pool, hours) for pool, hours in rates)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, past, C)."""
        x = x.transpose(1, 2)
        found = x[..., -1:]
        for block in self.blocks:
            explained, added = block(x)
            x, found = x - explained, found + added
        return found.transpose(1, 2)


def error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the training loss, the mean absolute error."""
    return functional.l1_loss(module(batch[0]), batch[1])


def model(load: Load = series.etth1, cache: str = CACHE) -> NHiTS:
    """Return the model of a series, from the cache or trained now.

    Raises:
        FileNotFoundError, ModuleNotFoundError: not cached, and the data are not here.
    """

    def train(module: NHiTS) -> None:
        windows = load().training(PAST, AHEAD)
        fine_tune(module, series.shuffled(windows, PAST, BATCH), error, EPOCHS, learning_rate=1e-3)

    torch.manual_seed(0)
    return trained(cache, NHiTS(PAST, AHEAD), train)


def example_inputs(load: Load = series.etth1) -> tuple[Tensor]:
    """Return the past of the first test window."""
    return (load().test(PAST, AHEAD)[:1, :PAST],)


def dynamic_shapes() -> tuple[dict[int, Any]]:
    """Return the axis of the input whose length is free."""
    return ({0: torch.export.Dim("batch")},)


def calibration(load: Load = series.etth1) -> Iterator[tuple[Tensor]]:
    """Yield batches of training windows."""
    return series.spread(load().training(PAST, AHEAD), PAST)


def evaluate(run: Run, batch: int = 1, load: Load = series.etth1) -> dict[str, float]:
    """Return the mean squared and absolute errors over all test windows, `batch` at a time."""
    return series.score(run, load().test(PAST, AHEAD), PAST, batch)


def picture(runs: Mapping[str, Run], load: Load = series.etth1) -> Figure:
    """Return forecasts of the first channel from the middle of the test part."""
    return series.drawn(runs, load().test(PAST, AHEAD), PAST)
