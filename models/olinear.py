"""OLinear (Yue et al. 2025) on ETTh1: hourly readings of a power transformer, four days from four.

Past and future are seen in the bases of their own temporal correlations, which the training part
gives: there values hardly depend on each other. NormLin mixes the channels, by a matrix whose rows
are positive and sum to 1, and perceptrons mix what is known of each. At export the bases, the
embedding and the linear layers next to them fold into one matrix at each end, and NormLin into a
plain product over the channels. Half the paper's width and embedding here. The weights stay in
CACHE; delete that file to train again, for a minute or two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smalti.models import series
from smalti.models.about import About
from smalti.models.series import Load, Run, Table
from smalti.models.trained import trained
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Yue, Liu, Li, Wang, Ying, Guo, Xing, Shi 2025, OLinear: A Linear Model for Time Series "
        "Forecasting in Orthogonally Transformed Domain, arXiv 2505.08550",
    ),
    metric="mse",
    rises=False,
    data="ETTh1 of ETT-small (Zhou et al. 2021), by the hour, from SMALTI_DATA",
)
PAST = AHEAD = 96  # hours
WIDTH, EMBEDDING, LAYERS = 256, 8, 2
CACHE = "olinear.safetensors"  # under SMALTI_CACHE, else in build/
EPOCHS, BATCH, DROPOUT = 4, 32, 0.2


def basis(table: Table, length: int) -> Tensor:
    """Return Q (length, length), whose columns are orthonormal: section 4.2, equation 2.

    Eigenvectors of the correlation between the hours of a window, a mean over the channels of a
    table (hours, channels), the largest eigenvalue first.
    """
    windows = torch.from_numpy(table).double().unfold(0, length, 1).transpose(0, 1)
    centered = windows - windows.mean(1, keepdim=True)
    scaled = centered / centered.square().mean(1, keepdim=True).sqrt()
    correlation = (scaled.mT @ scaled / scaled.shape[1]).mean(0)
    result: Tensor = torch.linalg.eigh(correlation)[1].flip(1).float()
    return result


class Enter(nn.Module):
    """A past (..., length) -> features (..., width), by its basis and an embedding of numbers."""

    q: Tensor

    def __init__(self, q: Tensor) -> None:
        super().__init__()
        self.register_buffer("q", q)
        self.embedding = nn.Parameter(torch.randn(EMBEDDING, 1))
        self.linear = nn.Linear(EMBEDDING * len(q), WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., length)."""
        embedded = (x @ self.q).unsqueeze(-2) * self.embedding
        found: Tensor = self.linear(embedded.flatten(-2))
        return found


class Leave(nn.Module):
    """Features (..., width) -> those of the future (..., width), by way of its basis."""

    q: Tensor

    def __init__(self, q: Tensor) -> None:
        super().__init__()
        self.register_buffer("q", q)
        size = EMBEDDING * len(q)
        self.before, self.after = nn.Linear(WIDTH, size), nn.Linear(size, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., width)."""
        transformed = self.before(x).unflatten(-1, (EMBEDDING, -1))
        found: Tensor = self.after((transformed @ self.q.T).flatten(-2))
        return found


class NormLin(nn.Module):
    """A product over channels (N, C, width) with positive rows of sum 1: section 4.3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels) + torch.randn(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, width)."""
        mixed = functional.normalize(functional.softplus(self.weight), p=1, dim=-1)
        return functional.dropout(mixed, DROPOUT, self.training) @ x


class Block(nn.Module):
    """Mix the channels, then the features of each; both as residuals."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mix = NormLin(channels)
        self.widen, self.narrow = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, width)."""
        x = self.norm1(x + self.dropout(self.out(self.mix(self.value(x)))))
        inner = self.dropout(functional.gelu(self.widen(x)))
        found: Tensor = self.norm2(x + self.dropout(self.narrow(inner)))
        return found


class OLinear(nn.Module):
    """(N, past, C) -> (N, ahead, C); the bases are those of a table (hours, C)."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        channels = table.shape[1]
        self.weight, self.bias = (nn.Parameter(f(channels, 1)) for f in (torch.ones, torch.zeros))
        self.enter, self.leave = Enter(basis(table, PAST)), Leave(basis(table, AHEAD))
        blocks = [Block(channels) for _ in range(LAYERS)]
        self.blocks = nn.Sequential(*blocks, nn.LayerNorm(WIDTH))
        self.last, self.dropout = nn.Linear(WIDTH, AHEAD), nn.Dropout(DROPOUT)

    def forward(self, x: Tensor) -> Tensor:
        """Return the future; each window's mean and spread are off meanwhile."""
        x = x.transpose(1, 2)
        mean = x.mean(-1, keepdim=True)
        deviation = ((x - mean).square().mean(-1, keepdim=True) + 1e-5).sqrt()
        features = self.enter((x - mean) / deviation * self.weight + self.bias)
        found = self.last(functional.gelu(self.leave(self.blocks(features))))
        found = (self.dropout(found) - self.bias) / self.weight
        result: Tensor = (found * deviation + mean).transpose(1, 2)
        return result


def error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the training loss: absolute errors, those of later hours with less weight."""
    weights = torch.arange(1, AHEAD + 1, dtype=torch.float32).rsqrt().unsqueeze(1)
    result: Tensor = ((module(batch[0]) - batch[1]).abs() * weights).mean()
    return result


def model(load: Load = series.etth1, cache: str = CACHE) -> OLinear:
    """Return the model of a series, from the cache or trained now.

    Raises:
        FileNotFoundError, ModuleNotFoundError: the data are not here.
    """
    torch.manual_seed(0)
    found = load()

    def train(module: OLinear) -> None:
        batches = series.Shuffled(found.training(PAST, AHEAD), PAST, BATCH)
        fine_tune(module, batches, error, EPOCHS, learning_rate=5e-4)

    return trained(cache, OLinear(found.table[: found.split[0]]), train)


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
