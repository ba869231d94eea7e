"""FITS at a tiny size, on a series that is made up; and its file at its own size."""

from pathlib import Path

import onnx
import pytest
import torch
from series_data import check_in_both_engines, torch_run, waves
from torch import nn

from smalti.export import export_onnx, export_tflite, fold_
from smalti.export.verify import relative_error
from smalti.models import fits
from smalti.runtime import Session


@pytest.fixture
def tiny(made_up_etth1: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sizes = {"PAST": 96, "AHEAD": 24, "BINS": 25, "EPOCHS": 8, "BATCH": 16}
    for name, value in sizes.items():
        monkeypatch.setattr(fits, name, value)
    return made_up_etth1


def test_it_learns_the_days(tiny: Path) -> None:
    yesterday = fits.evaluate(lambda x: [x[:, -24:]], 500)["mse"]
    untrained = fits.evaluate(torch_run(fits.FITS(96, 24, 25)), 500)["mse"]
    learned = fits.evaluate(torch_run(fits.model()), 500)["mse"]
    noise = 0.09 / float(waves(1800, 7)[:1200].var(0).mean())
    assert noise < learned < 0.6 * yesterday < untrained


def test_both_engines_forecast_what_torch_does(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "EPOCHS", 1)
    check_in_both_engines(fits, fits.model(), tiny)


def published(*windows: int) -> tuple[nn.Module, torch.Tensor]:
    module = fits.FITS(fits.PAST, fits.AHEAD, fits.BINS).eval()
    return module, torch.randn(*windows, fits.PAST, 7)


def test_only_the_mean_is_left_out_of_the_spectrum() -> None:
    module, x = published(2)
    wide = nn.Linear(fits.BINS, module.interpolation.upsampler.out_features, dtype=torch.cfloat)
    with torch.no_grad():
        wide.weight[:, 1:] = module.interpolation.upsampler.weight
        wide.bias.copy_(module.interpolation.upsampler.bias)
        mean, spread = x.mean(1, keepdim=True), (x.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
        low = torch.fft.rfft((x - mean) / spread, dim=1)[:, : fits.BINS]
        length = fits.PAST + fits.AHEAD
        both = torch.fft.irfft(wide(low.mT), length) * (length / fits.PAST)
        found = both.mT[:, -fits.AHEAD :] * spread + mean
        torch.testing.assert_close(module(x), found, rtol=1e-4, atol=1e-4)


def test_it_folds_into_one_real_matrix(tmp_path: Path) -> None:
    module, x = published(3)
    expected = module(x).detach().numpy()
    (row,) = fold_(module, (x,))
    assert row.name == "interpolation" and not row.reason and row.bytes_after < row.bytes_before
    assert type(module.interpolation) is nn.Linear
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=fits.dynamic_shapes())
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    assert [node.op_type for node in nodes if node.domain == "smalti"] == ["RFFT"]
    assert sum(node.op_type in ("MatMul", "Gemm") for node in nodes) == 1
    assert (tmp_path / "m.onnx").stat().st_size < 100_000
    (found,) = Session(tmp_path / "m.onnx", threads=1).run(x.numpy())
    assert relative_error(found, expected) < 1e-5


def test_the_tflite_file_is_small(tmp_path: Path) -> None:
    module, x = published(1)
    fold_(module, (x,))
    assert max(export_tflite(module, (x,), tmp_path / "m.tflite")) < 1e-5
    assert Session(tmp_path / "m.tflite").artifact.native_nodes == 1
    assert (tmp_path / "m.tflite").stat().st_size < 100_000


def test_it_trains_once_and_keeps_the_weights(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "EPOCHS", 1)
    first = fits.model()
    assert (tiny / fits.CACHE).is_file()
    monkeypatch.setattr(fits, "train", None)  # a second training would fail
    again = fits.model()
    assert torch.equal(first.interpolation.upsampler.weight, again.interpolation.upsampler.weight)
