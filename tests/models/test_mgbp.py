"""The recipe that doubles photos, at a tiny size."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import mgbp
from smalti.quant import quantize_
from smalti.runtime import Session

SIZES = {
    "SIZE": (48, 64),
    "WIDTHS": (16, 16, 16),
    "STEPS": 40,
    "BATCH": 4,
    "PATCH": 24,
    "ROUNDS": 1,
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    for name, value in SIZES.items():
        monkeypatch.setattr(mgbp, name, value)
    monkeypatch.setattr(mgbp, "TRAINED_ON", ("astronaut",))
    return tmp_path


def torch_run(module: torch.nn.Module) -> mgbp.Run:
    return lambda x: [module(torch.from_numpy(x)).numpy(force=True)]


def test_it_learns(tiny: Path) -> None:
    untrained = mgbp.evaluate(torch_run(mgbp.Mgbp()))["psnr_y"]
    assert mgbp.evaluate(torch_run(mgbp.model()))["psnr_y"] > untrained + 3


def test_both_engines_give_what_torch_does_at_three_bits(tiny: Path) -> None:
    torch.manual_seed(0)
    module, given = mgbp.Mgbp(), mgbp.example_inputs()
    layers = quantize_(module, "vq-2x64", activations="float")
    assert [layer.name for layer in layers if layer.format == "float"] == ["last"]
    wanted = module(*given).numpy(force=True)
    export_onnx(module, given, tiny / "m.onnx", layers=layers, fallback="none")
    export_tflite(module, given, tiny / "m.tflite", layers=layers)
    for file in ("m.onnx", "m.tflite"):
        session = Session(tiny / file, threads=2)
        assert session.artifact.native_nodes >= len(layers) - 1
        assert relative_error(session.run(given[0].numpy())[0], wanted) < 1e-4


def test_patches_are_of_one_place_and_one_way_round(tiny: Path) -> None:
    (large,) = (mgbp.even(mgbp.photo(name)) for name in mgbp.TRAINED_ON)
    small, wanted = next(iter(mgbp.Patches([large])))
    assert wanted.shape == (4, 3, 24, 24)
    apart = torch.nn.functional.avg_pool2d(wanted, 2) - small
    for turns in (1, 2, 3):
        assert apart.abs().mean() < 0.3 * (small - small.rot90(turns, (2, 3))).abs().mean()


def test_no_photo_is_trained_and_tested_on() -> None:
    assert set(mgbp.TRAINED_ON).isdisjoint(mgbp.TESTED_ON)


def test_bicubic_interpolation_scores_what_it_is_said_to(tiny: Path) -> None:
    found = mgbp.evaluate(lambda x: [mgbp.resized(torch.from_numpy(x), *mgbp.SIZE).numpy()])
    assert found["psnr_y"] == found["psnr_y_bicubic"]


def test_a_picture_shows_all_ways(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mgbp, "_PART", (slice(0, 40), slice(8, 64)))
    figure = mgbp.picture({"float": lambda x: [mgbp.tests()[0][1].numpy()]})
    shown = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes}
    assert list(shown) == ["given", "bicubic", "float", "photo"]
    assert np.array_equal(shown["float"], shown["photo"])
    assert {image.shape for image in shown.values()} == {(40, 56, 3)}
