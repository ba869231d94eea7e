"""The recipes that keep a photo as a field, at a tiny size and all at once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import image_codec, image_grid, metric_grids, photo_field, poly_inr, rbf_image
from smalti.models import siren
from smalti.quant.table import quantize_table_
from smalti.runtime import Session
from smalti.runtime.ops.grid_encode.module import GridEncoding
from smalti.runtime.ops.grid_encode.op import WARPS

STEPS = {image_grid: 60, metric_grids: 40, poly_inr: 60, rbf_image: 40, siren: 60}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(photo_field, "SIZE", (48, 40))
    monkeypatch.setattr(photo_field, "_CORNER", (60, 180))  # the eyes
    monkeypatch.setattr(photo_field.fit, "__defaults__", (1024,))
    for recipe, steps in STEPS.items():
        monkeypatch.setattr(recipe, "STEPS", steps)
    sizes = {image_grid: {"_LEVELS": (8, 20), "_HASHED": [8, 16, 40], "_FINE": 24}}
    sizes |= {metric_grids: {"LEVELS": (8, 20)}, siren: {"WIDTH": 32}}
    sizes |= {poly_inr: {"WIDTH": 24, "LEVELS": 3}, rbf_image: {"CENTERS": 150, "BATCH": 512}}
    for recipe, values in sizes.items():
        for name, value in values.items():
            monkeypatch.setattr(recipe, name, value)
    return tmp_path


class All(nn.Module):
    """Every kind's photo: quicker to export than one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.names = [kind.name for kind in image_codec.kinds()]
        self.nets = nn.ModuleList(kind.model() for kind in image_codec.kinds())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(net(x) for net in self.nets)


def mean_colour() -> float:
    colours = photo_field.colours()
    return photo_field.evaluate(lambda x: [colours.mean(0).expand(len(x), 3).numpy()])["psnr"]


def test_both_engines_show_the_photo(tiny: Path) -> None:
    module, (x,) = All().eval(), photo_field.example_inputs()
    plain = mean_colour()
    for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        path = tiny / f"m.{suffix}"
        export(module, (x,), path)
        shown = Session(path, threads=2, native="require").run(x.numpy())
        for name, found, wanted in zip(module.names, shown, module(x), strict=True):
            assert relative_error(found, wanted.detach().numpy()) < 1e-4, (name, suffix)
            score = photo_field.evaluate(lambda _, found=found: [found])["psnr"]
            print(name, score, plain)
            assert score > plain + 2, (name, suffix)
