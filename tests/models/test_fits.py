"""The recipe of forecasts at a tiny size, on a series that is made up."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import fits
from smalti.runtime import Session


def table(hours: int = 1800) -> np.ndarray:
    """Days and half days in seven mixtures, and noise."""
    rng = np.random.default_rng(0)
    angles = 2 * np.pi / 24 * np.arange(hours)[:, None]
    waves = np.concatenate([np.sin(angles), np.cos(angles), np.sin(2 * angles)], 1)
    return 5 + waves @ rng.standard_normal((3, 7)) + 0.3 * rng.standard_normal((hours, 7))


def store(readings: np.ndarray, folder: Path) -> None:
    """As ETTh1.csv: a heading, a date and seven columns."""
    rows = [f"2016-07-01 {i},{','.join(map(str, row))}" for i, row in enumerate(readings.tolist())]
    (folder / "ett").mkdir()
    (folder / "ett" / "ETTh1.csv").write_text("\n".join(["date,A,B,C,D,E,F,OT", *rows]) + "\n")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    store(table(), tmp_path)
    sizes = {"PAST": 96, "AHEAD": 24, "BINS": 12, "SPLIT": (1200, 1400, 1800)}
    for name, value in (sizes | {"EPOCHS": (8, 8), "BATCH": 16}).items():
        monkeypatch.setattr(fits, name, value)
    return tmp_path


def torch_run(module: torch.nn.Module) -> fits.Run:
    return lambda x: [module(torch.from_numpy(x)).detach().numpy()]


def test_it_learns_the_days(tiny: Path) -> None:
    yesterday = fits.evaluate(lambda x: [x[:, -24:]], 500)["mse"]
    untrained = fits.evaluate(torch_run(fits.FITS(96, 24, 12)), 500)["mse"]
    learned = fits.evaluate(torch_run(fits.model()), 500)["mse"]
    noise = 0.09 / float(table()[:1200].var(0).mean())
    assert noise < learned < 0.6 * yesterday < untrained


def test_both_engines_forecast_what_torch_does(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "EPOCHS", (1, 1))
    module, (x,) = fits.model(), fits.example_inputs()
    wanted = fits.evaluate(torch_run(module), 500)["mse"]
    export_onnx(module, (x,), tiny / "m.onnx", dynamic_shapes=fits.dynamic_shapes())
    found = Session(tiny / "m.onnx", threads=2)
    assert fits.evaluate(found.run, 500)["mse"] == pytest.approx(wanted, rel=1e-6)
    export_tflite(module, (x,), tiny / "m.tflite")
    found = Session(tiny / "m.tflite", threads=2)
    assert fits.evaluate(found.run)["mse"] == pytest.approx(wanted, rel=1e-6)


def published(*windows: int) -> tuple[torch.nn.Module, torch.Tensor]:
    module = fits.FITS(fits.PAST, fits.AHEAD, fits.BINS).eval()
    return module, torch.randn(*windows, fits.PAST, 7)


def test_the_file_is_small_and_real(tmp_path: Path) -> None:
    module, x = published(3)
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=fits.dynamic_shapes())
    graph = onnx.load(tmp_path / "m.onnx").graph
    types = {i.data_type for i in graph.initializer}
    assert types <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    ours = [node.op_type for node in graph.node if node.domain == "smalti"]
    assert ours == ["RFFT", "IRFFT"]
    assert sum(node.op_type == "MatMul" for node in graph.node) == 1
    assert (tmp_path / "m.onnx").stat().st_size < 60_000
    (found,) = Session(tmp_path / "m.onnx", threads=2).run(x.numpy())
    assert relative_error(found, module(x).detach().numpy()) < 1e-6


def test_the_tflite_file_is_small(tmp_path: Path) -> None:
    module, x = published(1)
    export_tflite(module, (x,), tmp_path / "m.tflite")
    session = Session(tmp_path / "m.tflite", threads=2)
    assert session.artifact.native_nodes == 2
    assert (tmp_path / "m.tflite").stat().st_size < 100_000
    assert relative_error(session.run(x.numpy())[0], module(x).detach().numpy()) < 1e-6


def test_it_trains_once_and_keeps_the_weights(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "EPOCHS", (1, 1))
    first = fits.model()
    assert (tiny / fits.CACHE).is_file()
    monkeypatch.setattr(fits, "train", None)  # a second training would fail
    assert torch.equal(first.upsampler.weight, fits.model().upsampler.weight)


def test_without_the_data_it_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"ETTh1.csv is missing: put .* SMALTI_DATA="):
        fits.readings()


def test_the_data_are_those_of_the_paper() -> None:
    if not Path(os.environ.get("SMALTI_DATA", "data"), "ett", "ETTh1.csv").is_file():
        pytest.skip("no ett/ETTh1.csv in SMALTI_DATA; take it from github.com/zhouhaoyi/ETDataset")
    found = fits.readings()
    assert found.shape == (17420, 7)
    assert np.abs(found[: fits.SPLIT[0]].mean(0)).max() < 1e-4
    assert len(fits.windows(found, *fits.SPLIT[1:])) == 2785
