"""FITS on ETTh1: hourly readings of a power transformer, the next four days from fifteen.

FITS (Xu, Zeng, Xu 2023, arXiv 2307.03756) interpolates frequencies: one complex linear layer takes
the low bins of the past to those of the past and the future together. Of these only the future is
wanted, so that the layer and the inverse transform after it fold into one real matrix of 21504
weights. As published, it learns from the future alone. The weights stay in CACHE; delete that file
to train again, for a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from smalti.models import series
from smalti.models.about import About
from smalti.models.series import Run
from smalti.models.trained import trained
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=("Xu, Zeng, Xu 2023, FITS: Modeling Time Series with 10k Parameters, arXiv 2307.03756",),
    metric="mse",
    rises=False,
    data="ETTh1 of ETT-small (Zhou et al. 2021), by the hour, from SMALTI_DATA",
    published="0.372",
)
PAST, AHEAD, BINS = 360, 96, 113  # hours, hours, and what the low pass keeps
CACHE = "fits.safetensors"  # under SMALTI_CACHE, else in build/
EPOCHS, BATCH = 15, 64


class Interpolation(nn.Module):
    """Complex bins 1, 2, ... of the past, as pairs of numbers, to what comes after it."""

    def __init__(self, past: int, ahead: int, bins: int) -> None:
        super().__init__()
        self.ahead, self.length = ahead, past + ahead
        self.ratio = self.length / past
        self.upsampler = nn.Linear(bins - 1, int(bins * self.ratio), dtype=torch.cfloat)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., 2 * (bins - 1)) -> (..., ahead)."""
        low = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        both: Tensor = torch.fft.irfft(self.upsampler(low), self.length) * self.ratio
        return both[..., -self.ahead :]


class FITS(nn.Module):
    """A linear map of the lowest `bins` frequencies, after the window's mean and spread are off."""

    def __init__(self, past: int, ahead: int, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.interpolation = Interpolation(past, ahead, bins)

    def forward(self, x: Tensor) -> Tensor:
        """Return the future: (N, past, C) -> (N, ahead, C)."""
        x = x.transpose(1, 2)  # engines are quick at rows that have one mean each
        mean = x.mean(-1, keepdim=True)
        centered = x - mean
        deviation = (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        low = torch.fft.rfft(centered / deviation)[..., 1 : self.bins]  # bin 0, the mean, is 0
        found = self.interpolation(torch.view_as_real(low).flatten(-2))
        result: Tensor = (found * deviation + mean).transpose(1, 2)
        return result


def forecast(module: nn.Module, batch: Batch) -> Tensor:
    """Return the loss of a batch (past, future)."""
    return mse_loss(module(batch[0]), batch[1])


def model() -> FITS:
    """Return the trained model, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    torch.manual_seed(0)
    return trained(CACHE, FITS(PAST, AHEAD, BINS), train)


def train(module: FITS) -> None:
    """Fit the future."""
    found = series.Shuffled(series.etth1().training(PAST, AHEAD), PAST, BATCH)
    fine_tune(module, found, forecast, EPOCHS, learning_rate=2e-3)


def example_inputs() -> tuple[Tensor]:
    """Return the past of the first test window."""
    return (series.etth1().test(PAST, AHEAD)[:1, :PAST],)


def dynamic_shapes() -> tuple[dict[int, Any]]:
    """Return the axis of the input whose length is free."""
    return ({0: torch.export.Dim("batch")},)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield batches of training windows."""
    return series.spread(series.etth1().training(PAST, AHEAD), PAST)


def evaluate(run: Run, batch: int = 1) -> dict[str, float]:
    """Return the mean squared and absolute errors over all test windows, `batch` at a time."""
    return series.score(run, series.etth1().test(PAST, AHEAD), PAST, batch)


def picture(runs: Mapping[str, Run]) -> Figure:
    """Return forecasts of the first channel from the middle of the test part."""
    return series.drawn(runs, series.etth1().test(PAST, AHEAD), PAST)
