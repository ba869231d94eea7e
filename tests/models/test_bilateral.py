from pathlib import Path

import numpy as np
import pytest
import torch

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import bilateral
from smalti.models.pictures import psnr
from smalti.runtime import Session


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(bilateral, "STEPS", 40)
    monkeypatch.setattr(bilateral, "STRIDE", 8)
    return tmp_path


def test_the_photo_is_in_colour_and_its_edit_is_another() -> None:
    image = bilateral.photo()
    assert image.shape == (1, 3, 600, 512)
    assert image.dtype == torch.float32
    assert (image.min(), image.max()) == (0, 1)
    assert psnr(image.numpy(), bilateral.edited(image).numpy()) < 25


def test_both_engines_edit_as_torch_does_in_float_and_int8(quick: Path) -> None:
    module, image = bilateral.model(), bilateral.photo()
    scores = []
    for name in ("float", "int8"):
        wanted = module(image).detach().numpy()
        for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
            path = quick / f"{name}.{suffix}"
            export(module, (image,), path)
            session = Session(path, threads=2, native="require")
            assert relative_error(session.run(image.numpy())[0], wanted) < 1e-6
        scores.append(bilateral.evaluate(session.run))
        module.quantize_()
    assert scores[0]["psnr"] > scores[0]["psnr_unedited"] + 10
    assert scores[1]["psnr"] > scores[0]["psnr"] - 0.5
    assert (quick / "int8.tflite").stat().st_size < (quick / "float.tflite").stat().st_size / 3


def test_it_trains_once_and_keeps_the_weights(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bilateral, "STEPS", 2)
    first = bilateral.model()
    assert [p.name for p in quick.iterdir()] == [bilateral.CACHE]
    monkeypatch.setattr(bilateral, "train", None)  # a second training would fail
    assert np.array_equal(first.grid.detach(), bilateral.model().grid.detach())
