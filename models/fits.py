"""FITS on ETTh1: hourly readings of a power transformer, the next four days from eighteen.

FITS (Xu, Zeng, Xu 2023, arXiv 2307.03756) interpolates frequencies: one complex linear layer takes
the low bins of the past to those of the past and the future together. 10720 real parameters. The
data are ETT-small (Zhou et al. 2021). The weights stay in CACHE; delete that file to train again,
for half a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from smalti.models.about import About
from smalti.models.batches import Shuffled
from smalti.models.trained import trained
from smalti.quant.training import Batch, fine_tune

ABOUT = About(
    papers=("Xu, Zeng, Xu 2023, FITS: Modeling Time Series with 10k Parameters, arXiv 2307.03756",),
    metric="mse",
    rises=False,
    data="ETTh1 of ETT-small (Zhou et al. 2021), 96 hours ahead; from SMALTI_DATA",
    published=".372",
)

PAST, AHEAD, BINS = 432, 96, 66  # hours, hours, and what the low pass keeps
MONTH = 30 * 24
SPLIT = (12 * MONTH, 16 * MONTH, 20 * MONTH)  # the ends of training, validation and test
CACHE = "fits.safetensors"  # under SMALTI_CACHE, else in build/
EPOCHS, BATCH = (10, 10), 64  # of the two stages

Array = NDArray[np.float32]
Run = Callable[..., list[Any]]


class FITS(nn.Module):
    """A linear map of the lowest `bins` frequencies, after the window's mean and spread are off."""

    def __init__(self, past: int, ahead: int, bins: int) -> None:
        super().__init__()
        self.ahead, self.length, self.bins = ahead, past + ahead, bins
        self.ratio = self.length / past
        self.upsampler = nn.Linear(bins, int(bins * self.ratio), dtype=torch.cfloat)

    def series(self, x: Tensor) -> Tensor:
        """Return the past again and the future: (N, past, C) -> (N, past + ahead, C)."""
        x = x.transpose(1, 2)  # engines are quick at rows that have one mean each
        mean = x.mean(-1, keepdim=True)
        centered = x - mean
        deviation = (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        low = torch.fft.rfft(centered / deviation)[..., : self.bins]
        found: Tensor = torch.fft.irfft(self.upsampler(low), self.length) * self.ratio
        return (found * deviation + mean).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the future: (N, past, C) -> (N, ahead, C)."""
        return self.series(x)[:, -self.ahead :]


def readings() -> Array:
    """Return ETTh1 (hours, 7), each column as its mean and spread over the training part make it.

    Raises:
        FileNotFoundError: the file is not in SMALTI_DATA.
    """
    path = Path(os.environ.get("SMALTI_DATA", "data"), "ett", "ETTh1.csv")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: put ETTh1.csv of https://github.com/zhouhaoyi/ETDataset there, "
            "and say SMALTI_DATA=<the folder above ett>"
        )
    table = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 8))
    known = table[: SPLIT[0]]
    return np.asarray((table - known.mean(0)) / known.std(0), np.float32)


def windows(table: Array, first: int, last: int) -> Tensor:
    """Return all (count, PAST + AHEAD, 7) whose futures lie in hours [first, last)."""
    part = torch.from_numpy(table[first - PAST : last])
    return part.unfold(0, PAST + AHEAD, 1).transpose(1, 2)


def reconstruction(module: nn.Module, batch: Batch) -> Tensor:
    """Return the first stage's loss: past and future."""
    assert isinstance(module, FITS)
    return mse_loss(module.series(batch[0][:, :PAST]), batch[0])


def forecast(module: nn.Module, batch: Batch) -> Tensor:
    """Return the second stage's loss: the future."""
    return mse_loss(module(batch[0][:, :PAST]), batch[0][:, PAST:])


def model() -> FITS:
    """Return the trained model, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    torch.manual_seed(0)
    return trained(CACHE, FITS(PAST, AHEAD, BINS), train)


def train(module: FITS) -> None:
    """Fit past and future, then the future alone, as the paper does."""
    found = Shuffled(windows(readings(), PAST, SPLIT[0]), batch=BATCH)
    for stage, epochs in zip((reconstruction, forecast), EPOCHS, strict=True):
        fine_tune(module, found, stage, epochs, learning_rate=2e-3)


def example_inputs() -> tuple[Tensor]:
    """Return the past of the first test window."""
    return (windows(readings(), SPLIT[1], SPLIT[2])[:1, :PAST].contiguous(),)


def dynamic_shapes() -> tuple[dict[int, Any]]:
    """Return the axis of the input whose length is free."""
    return ({0: torch.export.Dim("batch")},)


def evaluate(run: Run, batch: int = 1) -> dict[str, float]:
    """Return the mean squared error over all test windows, `batch` of them at a time."""
    errors = [
        run(part[:, :PAST].numpy())[0] - part[:, PAST:].numpy()
        for part in windows(readings(), SPLIT[1], SPLIT[2]).contiguous().split(batch)
    ]
    return {"mse": float(np.square(np.concatenate(errors)).mean())}
