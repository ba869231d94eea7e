"""The recipe of denser features at a tiny size, on images that are made up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import fashion, lift
from smalti.quant import quantize_
from smalti.runtime import Session


def bars(part: str) -> tuple[np.ndarray, np.ndarray]:
    """A bar across or along for each class, bright and 8 pixels wide."""
    rng = np.random.default_rng(len(part))
    labels = np.arange({"train": 1024, "t10k": 32}[part]) % 2
    images = np.zeros((len(labels), 1, 28, 28), np.float32)
    for image, label, start in zip(images, labels, rng.integers(0, 20, len(labels)), strict=True):
        image[0, start : start + 8] = 1
        if label:
            image[0] = image[0].T.copy()
    return images, labels


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion, "load", bars)
    sizes = {"WIDTH": 16, "HEADS": 2, "BLOCKS": 1, "INNER": 16, "EPOCHS": (3, 6), "BATCH": 8}
    for name, value in (sizes | {"TESTED": 8, "AT_ONCE": 4, "SHOWN": 2}).items():
        monkeypatch.setattr(lift, name, value)
    return tmp_path


def torch_run(module: torch.nn.Module) -> lift.Run:
    return lambda x: [module(torch.from_numpy(x)).detach().numpy()]


def test_it_beats_interpolation_and_both_engines_agree(tiny: Path) -> None:
    module, (x,) = lift.model(), lift.example_inputs()
    learned = lift.evaluate(torch_run(module))
    assert learned["cosine"] > learned["cosine_bilinear"] + 0.05
    for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        export(module, (x,), tiny / f"m.{suffix}")
        session = Session(tiny / f"m.{suffix}", threads=2)
        assert relative_error(session.run(x.numpy())[0], module(x).detach().numpy()) < 1e-4
        assert lift.evaluate(session.run) == pytest.approx(learned, rel=1e-5)
    axes = lift.picture({"float": torch_run(module)}).axes
    titles = [place.get_title() for place in axes if place.get_title()]
    assert titles == ["scene", "half size", "bilinear", "float", "target"]


def test_bilinear_features_are_the_baseline(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = lift.Lifted().eval()
    monkeypatch.setattr(lift, "model", lambda: module)

    def doubled(x: np.ndarray) -> list[np.ndarray]:
        features = module.encoder(torch.from_numpy(x)).detach()
        return [functional.interpolate(features, scale_factor=2, mode="bilinear").numpy()]

    score = lift.evaluate(doubled)
    assert score["cosine"] == pytest.approx(score["cosine_bilinear"], abs=1e-6)


def test_scenes_are_four_images_each_with_their_labels() -> None:
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 1, 3, 5)
    whole, labels = lift.scenes((images, torch.arange(8)))
    assert whole.shape == (2, 1, 6, 10)
    assert whole[1, 0, ::3, ::5].tolist() == labels[1, 0].tolist() == [[4, 5], [6, 7]]
    assert torch.equal(whole[0, 0, 3:, 5:], images[3, 0])


def test_features_are_twice_as_dense_as_the_encoders() -> None:
    module, x = lift.Lifted().eval(), torch.rand(2, 1, 28, 28)
    assert module.encoder(x).shape == (2, lift.WIDTH, 7, 7)
    assert module(x).shape == module.encoder(torch.rand(2, 1, 56, 56)).shape


def test_all_but_the_narrowest_weights_are_quantized() -> None:
    module = lift.Lifted()
    reports = quantize_(module, "vq-2x64-g128")
    kept = {r.name for r in reports if r.format == "float" and len(r.shape) > 1}
    assert kept <= {"encoder", "encoder.patches", "lift.lines", "lift.shapes"}
