"""The recipe of wounds at a tiny size, on photos that are made up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import attention_unet, wounds
from smalti.models.attention_unet import AttentionUNet, Gate
from smalti.quant import quantize_
from smalti.runtime import Session


def store(folder: Path, count: int) -> None:
    """Red discs on grey noise, of 64 pixels a side."""
    rng = np.random.default_rng(count)
    y, x = np.mgrid[:64, :64]
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        row, column, radius = *rng.integers(16, 48, 2), rng.integers(6, 16)
        disc = (y - row) ** 2 + (x - column) ** 2 < radius**2
        photo = rng.integers(90, 160, (64, 64, 1)).repeat(3, 2)
        photo[disc] = (200, 40, 40)
        Image.fromarray(photo.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        mask = 255 * disc.astype(np.uint8)
        Image.fromarray(mask).convert("RGB").save(folder / "labels" / f"{number}.png")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    store(tmp_path / "wounds" / "train", 12)
    store(tmp_path / "wounds" / "validation", 6)
    sizes = {"SIZE": 16, "WIDTHS": (4, 8), "EPOCHS": 40, "BATCH": 4, "AT_ONCE": 2, "SHOWN": 2}
    for name, value in sizes.items():
        monkeypatch.setattr(attention_unet, name, value)
    return tmp_path


def torch_run(module: torch.nn.Module) -> attention_unet.Run:
    return lambda x: [module(torch.from_numpy(x)).detach().numpy()]


def test_it_learns_red_discs_and_both_engines_see_them(tiny: Path) -> None:
    untrained = attention_unet.evaluate(torch_run(AttentionUNet((4, 8)).eval()))["dice"]
    module, (x,) = attention_unet.model(), attention_unet.example_inputs()
    learned = attention_unet.evaluate(torch_run(module))
    assert learned["dice"] > 0.7 > 0.5 > untrained
    for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        export(module, (x,), tiny / f"m.{suffix}")
        session = Session(tiny / f"m.{suffix}", threads=2)
        assert relative_error(session.run(x.numpy())[0], module(x).detach().numpy()) < 1e-4
        assert attention_unet.evaluate(session.run) == pytest.approx(learned)


def test_the_score_counts_pixels_of_all_photos_and_of_each(tiny: Path) -> None:
    _, masks = wounds.photos("validation", 16)
    answers = iter(masks.numpy().reshape(-1, 2, 1, 16, 16))
    assert attention_unet.evaluate(lambda x: [next(answers)]) == {"dice": 1, "dice_photo": 1}
    sizes = masks.sum((1, 2, 3)).numpy()
    everywhere = attention_unet.evaluate(lambda x: [np.ones((len(x), 1, 16, 16), np.float32)])
    assert everywhere["dice"] == pytest.approx(2 * sizes.sum() / (sizes.sum() + 6 * 256))
    assert everywhere["dice_photo"] == pytest.approx((2 * sizes / (sizes + 256)).mean())
    nowhere = attention_unet.evaluate(lambda x: [np.zeros((len(x), 1, 16, 16), np.float32)])
    assert nowhere == {"dice": 0, "dice_photo": 0}


def test_photos_and_masks_turn_together(tiny: Path) -> None:
    torch.manual_seed(0)
    images, masks = wounds.photos("train", 16)
    assert (images.shape, masks.shape) == ((12, 3, 16, 16), (12, 1, 16, 16))
    for _ in range(8):
        turned, wanted = wounds.turned((images, masks))
        red = turned[:, 0] > 1.6 * turned[:, 1]
        assert (red == wanted[:, 0].bool()).float().mean() > 0.97
        assert 0 <= turned.min() < turned.max() <= 1


def test_a_gate_weighs_each_pixel_between_nothing_and_all() -> None:
    torch.manual_seed(0)
    gate, skipped, coarse = Gate(4), torch.rand(1, 4, 5, 5), torch.rand(1, 4, 5, 5)
    weights = gate(skipped, coarse) / skipped
    assert torch.allclose(weights, weights[:, :1].expand_as(weights), atol=1e-6)
    assert weights.std() > 0 and weights.min() > 0 and weights.max() < 1
    for bias, all_of_it in ((30.0, 1), (-30.0, 0)):
        torch.nn.init.constant_(gate.weight.bias, bias)
        assert torch.allclose(gate(skipped, coarse), all_of_it * skipped, atol=1e-6)


def test_most_weights_are_quantized() -> None:
    module = AttentionUNet(attention_unet.WIDTHS)
    count = sum(p.numel() for p in module.parameters())
    assert 0.4e6 < count < 0.6e6
    reports = quantize_(module, "vq-2x64-g128")
    assert sum(np.prod(r.shape) for r in reports if r.format != "float") > 0.97 * count


def test_the_picture_has_a_column_for_each_run(tiny: Path) -> None:
    run = torch_run(AttentionUNet((4, 8)).eval())
    axes = attention_unet.picture({"float": run, "3 bit": run}).axes
    titles = [place.get_title() for place in axes if place.get_title()]
    assert titles == ["photo", "truth", "float", "3 bit"]
    assert len(axes) == 8


def test_without_the_data_it_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"is missing: put .* SMALTI_DATA="):
        attention_unet.example_inputs()
