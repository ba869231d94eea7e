from pathlib import Path

import pytest
import torch

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import rbf_image
from smalti.runtime import Session


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(rbf_image, "_FACE", (slice(170, 218), slice(220, 268)))
    monkeypatch.setattr(rbf_image, "STEPS", 60)
    monkeypatch.setattr(rbf_image, "BATCH", 512)
    monkeypatch.setattr(rbf_image, "CENTERS", 150)
    return tmp_path


def test_both_engines_draw_what_torch_draws(quick: Path) -> None:
    untrained = rbf_image.network()
    module, given = rbf_image.model(), rbf_image.example_inputs()
    wanted = module(*given).detach().numpy()
    before = rbf_image.evaluate(lambda x: [untrained(torch.from_numpy(x)).detach().numpy()])
    for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        export(module, given, quick / f"m.{suffix}")
        session = Session(quick / f"m.{suffix}", threads=2, native="require")
        assert relative_error(session.run(given[0].numpy())[0], wanted) < 1e-5
        after = rbf_image.evaluate(session.run)
        assert after["psnr"] > before["psnr"] + 2
        assert after["psnr"] > after["psnr_even"]


def test_it_trains_once_and_keeps_the_weights(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rbf_image, "STEPS", 2)
    first = rbf_image.model()
    assert [p.name for p in quick.iterdir()] == [rbf_image.CACHE]
    monkeypatch.setattr(rbf_image, "train", None)  # a second training would fail
    again = rbf_image.model()
    assert all(torch.equal(a, again.state_dict()[k]) for k, a in first.state_dict().items())
