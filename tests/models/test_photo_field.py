"""The recipes that keep a photo as a field, at a tiny size; all in one file, which is quicker."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.models import (
    image_codec,
    image_grid,
    metric_grids,
    photo_field,
    poly_inr,
    rbf_image,
    siren,
)
from smalti.quant.table import quantize_table_
from smalti.runtime import Session
from smalti.runtime.ops.grid_encode.module import GridEncoding
from smalti.runtime.ops.grid_encode.op import WARPS

SIZES = {
    photo_field: {"SIZE": (48, 40), "_CORNER": (60, 180)},  # the eyes
    image_grid: {"STEPS": 60, "_LEVELS": (8, 20), "_HASHED": [8, 16, 40], "_FINE": 24},
    metric_grids: {"STEPS": 40, "LEVELS": (8, 20)},
    poly_inr: {"STEPS": 150, "WIDTH": 24, "LEVELS": 3},
    rbf_image: {"STEPS": 40, "CENTERS": 150, "BATCH": 512},
    siren: {"STEPS": 60, "WIDTH": 32},
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(photo_field, "BATCH", 1024)
    for recipe, values in SIZES.items():
        for name, value in values.items():
            monkeypatch.setattr(recipe, name, value)
    return tmp_path


class All(nn.Module):
    """Every kind's photo."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(kind.model() for kind in image_codec.kinds())

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(net(x) for net in self.nets)


def score(colours: np.ndarray) -> float:
    return photo_field.evaluate(lambda x: [colours])["psnr"]


def test_both_engines_show_the_photo(tiny: Path) -> None:
    module, (x,) = All().eval(), photo_field.example_inputs()
    names = [kind.name for kind in image_codec.kinds()]
    wanted = [y.numpy(force=True) for y in module(x)]
    plain = score(np.tile(photo_field.colours().mean(0).numpy(), (len(x), 1)))
    learned = {name: score(y) - plain for name, y in zip(names, wanted, strict=True)}
    assert min(learned.values()) > 4, learned
    export_onnx(module, (x,), tiny / "m.onnx", fallback="none")
    export_tflite(module, (x,), tiny / "m.tflite")
    for file in ("m.onnx", "m.tflite"):
        shown = Session(tiny / file, threads=2).run(x.numpy())
        for name, found, exact in zip(names, shown, wanted, strict=True):
            assert relative_error(found, exact) < 1e-4, (name, file)


@pytest.mark.parametrize(("form", "drop"), [("int8", 0.05), ("vq-2x256", 0.3), ("vq-4x256", 0.6)])
def test_fewer_bits_cost_little(form: str, drop: float, tiny: Path) -> None:
    module, (x,) = image_grid.model("hash"), photo_field.example_inputs()
    scores, sizes = [], []
    for quantize in (False, True):
        if quantize:
            quantize_table_(module, form)
        scores.append(score(module(x).numpy(force=True)))
        sizes.append(sum(t.nbytes for t in module.state_dict().values()))
    assert scores[1] > scores[0] - drop
    assert sizes[1] < sizes[0] / 2


def test_one_table_is_read_at_three_warps(tiny: Path) -> None:
    module, x = metric_grids.MetricGrids(), torch.rand(64, 2)
    for warp in WARPS:
        other = GridEncoding(2, metric_grids.LEVELS, metric_grids.FEATURES, warp=warp)
        other.table = module.grid.table
        assert torch.equal(module.grid(x, warp), other(x))


def test_without_its_bends_the_polynomial_has_its_degree(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poly_inr, "_SLOPE", 1.0)
    line = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None].expand(-1, 2)
    values = poly_inr.PolyINR().double()(line).detach()
    degree = poly_inr.LEVELS + 1
    assert values.diff(degree, dim=0).abs().max() > 1e-3
    assert values.diff(degree + 1, dim=0).abs().max() < 1e-12


def test_sines_start_alike_in_every_layer() -> None:
    """Theorem 1.8 of SIREN: what goes into sines is normal, of variance 1, however deep."""
    torch.manual_seed(0)
    net, x = siren.network("sine"), torch.rand(4096, 2)
    y = net[1](net[0](x))
    for layer in net[2:-2]:
        assert float((30 * (layer.linear(y) - layer.linear.bias)).var()) == pytest.approx(
            1, abs=0.2
        )
        y = layer(y)


def test_a_picture_shows_what_every_file_gives(tiny: Path) -> None:
    photo = photo_field.colours().numpy()
    figure = photo_field.picture({"float": lambda x: [photo], "black": lambda x: [0 * photo]})
    shown = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes}
    assert list(shown) == ["float", "black", "photo"]
    assert np.array_equal(shown["float"], shown["photo"])
    assert not shown["black"].any()


def test_radial_functions_beat_as_many_pixels(tiny: Path) -> None:
    module = rbf_image.model()
    found = rbf_image.evaluate(lambda x: [module(torch.from_numpy(x)).numpy(force=True)])
    assert found["psnr"] > found["psnr_even"]


def test_they_train_once_and_keep_the_weights(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_grid, "STEPS", 2)
    first = image_grid.model("simplex")
    assert [p.name for p in tiny.iterdir()] == [image_grid.CACHE.format("simplex")]
    monkeypatch.setattr(image_grid, "train", None)  # a second training would fail
    (x,) = photo_field.example_inputs()
    assert torch.equal(first(x), image_grid.model("simplex")(x))
