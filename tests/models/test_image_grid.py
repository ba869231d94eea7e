from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import image_grid
from smalti.quant.table import quantize_table_
from smalti.runtime import Session


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(image_grid, "SIZE", (48, 40))
    monkeypatch.setattr(image_grid, "STEPS", 80)
    return tmp_path


class All(nn.Module):
    """Every kind's photo: quicker to export than one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(image_grid.model(kind) for kind in image_grid.KINDS)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(net(x) for net in self.nets)


# measured after 80 steps, where the mean colour has 12 dB: 25.3, 25.2, 24.6 and 18.4
LEAST = {"dense": 24, "hash": 24, "simplex": 24, "nearest": 18}


def test_both_engines_show_the_photo(tiny: Path) -> None:
    module, (x,) = All().eval(), image_grid.example_inputs()
    for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        path = tiny / f"m.{suffix}"
        export(module, (x,), path)
        shown = Session(path, threads=2, native="require").run(x.numpy())
        for kind, found, wanted in zip(image_grid.KINDS, shown, module(x), strict=True):
            assert relative_error(found, wanted.detach().numpy()) < 1e-5
            score = image_grid.evaluate(lambda _, found=found: [found])
            assert score["psnr"] > LEAST[kind], (kind, suffix)


@pytest.mark.parametrize(("form", "drop"), [("int8", 0.05), ("vq-2x256", 0.3), ("vq-4x256", 0.6)])
def test_fewer_bits_cost_little(form: str, drop: float, tiny: Path) -> None:
    module = image_grid.model("hash")
    scores, sizes = [], []
    for quantize in (False, True):
        if quantize:
            quantize_table_(module, form)
        scores.append(image_grid.evaluate(lambda x: [module(torch.from_numpy(x)).detach().numpy()]))
        sizes.append(image_grid.stored_bytes(module))
    assert scores[1]["psnr"] > scores[0]["psnr"] - drop
    assert sizes[1] < sizes[0] / 2


def test_it_trains_once_and_keeps_the_weights(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_grid, "STEPS", 2)
    first = image_grid.model("simplex")
    assert [p.name for p in tiny.iterdir()] == [image_grid.CACHE.format("simplex")]
    monkeypatch.setattr(image_grid, "train", None)  # a second training would fail
    (x,) = image_grid.example_inputs()
    assert np.array_equal(first(x).detach(), image_grid.model("simplex")(x).detach())
