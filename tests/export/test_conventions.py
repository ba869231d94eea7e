"""Every way to resize, to sample and to shuffle, against Torch, on both engines."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from test_cli import smalti
from torch import Tensor, nn
from torch.nn import functional

from smalti.export import export_onnx, export_tflite
from smalti.export.functions import ConversionError
from smalti.runtime import Session

Call = Callable[[Tensor, Tensor, Tensor], Tensor]
SIZES = ((14, 10), (21, 15), (7, 5), (9, 4), (3, 2), (13, 3), (1, 1))
FACTORS: tuple[Any, ...] = (2, 0.5, 1.5, (2.0, 3.0))
MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")


def call(function: Any, which: int, *args: Any, **kwargs: Any) -> Call:
    return lambda *inputs: function(inputs[which], *args, **kwargs)


def corners(mode: str) -> tuple[bool | None, ...]:
    return (False, True) if mode in ("linear", "bilinear", "bicubic", "trilinear") else (None,)


def images() -> Iterator[tuple[str, Call]]:
    resize = functional.interpolate
    for mode in MODES:
        for align in corners(mode):
            how: dict[str, Any] = {"mode": mode, "align_corners": align}
            for size in SIZES:
                yield f"{mode}-{align}-{size}", call(resize, 0, size, **how)
            for factor in FACTORS if mode != "area" else (2,):
                again = {**how, "scale_factor": factor, "recompute_scale_factor": True}
                yield f"{mode}-{align}-by-{factor}-again", call(resize, 0, **again)
                yield f"{mode}-{align}-by-{factor}", call(resize, 0, scale_factor=factor, **how)


def lines_and_volumes() -> Iterator[tuple[str, Call]]:
    sizes: dict[int, tuple[Any, ...]] = {1: (15, 4, 30, 9), 2: ((8, 10, 12), (3, 3, 4))}
    for which, linear in ((1, "linear"), (2, "trilinear")):
        for mode, size in product(("nearest", "nearest-exact", linear), sizes[which]):
            for align in corners(mode):
                how: dict[str, Any] = {"mode": mode, "align_corners": align}
                yield f"{mode}-{align}-{size}", call(functional.interpolate, which, size, **how)


def samples() -> Iterator[tuple[str, Call]]:
    """Grids are made of the images, whose numbers lie on no tie."""
    for mode, padding, align in product(
        ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (False, True)
    ):
        how: dict[str, Any] = {"mode": mode, "padding_mode": padding, "align_corners": align}

        def sample(x: Tensor, line: Tensor, v: Tensor, how: Any = how) -> Tensor:
            return functional.grid_sample(x, x[:, :2].permute(0, 2, 3, 1) * 0.7, **how)

        def volume(x: Tensor, line: Tensor, v: Tensor, how: Any = how) -> Tensor:
            return functional.grid_sample(v, v[:, :3].permute(0, 2, 3, 4, 1) * 0.7, **how)

        yield f"{mode}-{padding}-{align}", sample
        if mode != "bicubic":
            yield f"{mode}-{padding}-{align}-volume", volume


def shuffles() -> Iterator[tuple[str, Call]]:
    yield "shuffle-2", lambda x, line, v: functional.pixel_shuffle(torch.cat([x, 2 * x], 1), 2)
    yield "shuffle-3", lambda x, line, v: functional.pixel_shuffle(torch.cat([x, x - 1, -x], 1), 3)
    yield "unshuffle", lambda x, line, v: functional.pixel_unshuffle(x[:, :, :6, :4], 2)


CALLS = dict([*images(), *lines_and_volumes(), *samples(), *shuffles()])
FRACTIONS = [f"bilinear-False-by-{f}" for f in (0.5, 1.5)]  # of pixels: LiteRT has no way for them
CUBIC_FRACTIONS = [f"bicubic-False-by-{f}" for f in (0.5, 1.5)]


class Calls(nn.Module):
    """Outputs of many calls at once, as exporters take their time to start."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names

    def forward(self, x: Tensor, line: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        unused = 0 * (x.sum() + line.sum() + v.sum())
        return tuple(CALLS[name](x, line, v) + unused for name in self.names)


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 6, 7, 5), torch.randn(2, 3, 15), torch.randn(1, 3, 4, 5, 6)


def check(export: Any, names: list[str], path: Path, **options: Any) -> None:
    errors = export(Calls(names).eval(), inputs(), path, **options)
    off = {name: e for name, e in zip(names, errors, strict=True) if e > 2e-6}
    assert not off  # measured: 5e-7


def test_onnx_gives_what_torch_gives(tmp_path: Path) -> None:
    check(export_onnx, list(CALLS), tmp_path / "m.onnx")


def test_onnx_with_our_operators_does(tmp_path: Path) -> None:
    names = [n for n in CALLS if n.startswith("bi")]
    check(export_onnx, names, tmp_path / "m.onnx", native=("GridSample", "Resize"))
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    left = [n for n in nodes if n.op_type in ("Resize", "GridSample") and not n.domain]
    assert len(left) == len(FRACTIONS + CUBIC_FRACTIONS)  # Resize goes by sizes alone


def test_litert_gives_what_torch_gives(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", exc_type=ImportError)
    names = [n for n in CALLS if n not in FRACTIONS + CUBIC_FRACTIONS]
    check(export_tflite, names, tmp_path / "m.tflite")


class Inner(nn.Module):
    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.ReLU(), nn.Upsample(**how)) if "antialias" not in how else None
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, **self.how) if self.up is None else self.up(x)


@pytest.mark.parametrize(
    ("export", "how", "message"),
    [
        (
            export_onnx,
            {"size": 3, "mode": "bicubic", "antialias": True, "align_corners": True},
            "inner: interpolate: bicubic with antialias=True and .*; use align_corners=False",
        ),
        (
            export_tflite,
            {"size": 3, "mode": "bilinear", "antialias": True},
            "inner: interpolate: bilinear with antialias, .*; use antialias=False",
        ),
        (
            export_tflite,
            {"scale_factor": 1.5, "mode": "bilinear"},
            r"inner.up.1: interpolate: bilinear to \[10.5, 7.5\] pixels; give size, or",
        ),
    ],
)
def test_other_meanings_are_refused_with_layer_and_mend(
    export: Any, how: dict[str, Any], message: str, tmp_path: Path
) -> None:
    module = nn.Sequential()
    module.add_module("inner", Inner(**how))
    with pytest.raises(ConversionError, match=message):
        export(module.eval(), (inputs()[0],), tmp_path / "m.file")
    assert not list(tmp_path.iterdir())


class Layouts(nn.Module):
    """Images that come channels last, warped and resized as Torch wants them: channels first."""

    def forward(self, x: Tensor, grid: Tensor) -> Tensor:
        y = functional.grid_sample(x.permute(0, 3, 1, 2), grid, align_corners=False)
        y = functional.interpolate(y, scale_factor=2, mode="bilinear")
        return y.permute(0, 2, 3, 1)


def test_images_that_come_channels_last_stay_so(tmp_path: Path) -> None:
    given = torch.randn(2, 5, 7, 3), 2 * torch.rand(2, 4, 6, 2) - 1
    path = tmp_path / "m.onnx"
    export_onnx(Layouts(), given, path, native=("GridSample", "Resize"), fallback="none")
    assert [node.op_type for node in onnx.load(path).graph.node] == ["GridSample", "Resize"]


def test_operators_that_cannot_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="native=IRFFT; choose from GridSample, Resize"):
        export_onnx(Layouts(), (), tmp_path / "m.onnx", native=("IRFFT",))


def test_a_batch_may_vary_with_our_operators(tmp_path: Path) -> None:
    batch = {0: torch.export.Dim("batch")}
    given = torch.randn(2, 5, 7, 3), 2 * torch.rand(2, 4, 6, 2) - 1
    path = tmp_path / "m.onnx"
    export_onnx(Layouts(), given, path, native=("Resize",), dynamic_shapes=(batch, batch))
    x, grid = (torch.cat([t, t, t]).numpy() for t in given)
    (found,) = Session(path, threads=1).run(x, grid)
    assert found.shape == (6, 8, 12, 3)


RECIPE = """
import torch
from torch import nn

def model():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Upsample(scale_factor=2, mode="bicubic")).eval()

def example_inputs():
    return (torch.randn(1, 3, 6, 7),)
"""


def test_the_command_line_and_plans_choose_our_operators(tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text(RECIPE)
    (tmp_path / "plan.toml").write_text('[layers]\n"*" = "float"\n[operators]\nResize = "smalti"\n')
    for chosen, domain in (
        (["--plan", tmp_path / "plan.toml"], "smalti"),
        (["--plan", tmp_path / "plan.toml", "--native", "GridSample"], ""),
        (["--format", "float", "--native", "Resize"], "smalti"),
    ):
        smalti(
            "export", tmp_path / "recipe.py", *chosen, "--data", "none", "-o", tmp_path / "m.onnx"
        )
        found = {n.op_type: n.domain for n in onnx.load(tmp_path / "m.onnx").graph.node}
        assert found["Resize"] == domain
