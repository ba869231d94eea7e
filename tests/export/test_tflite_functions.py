"""Torch functions that LiteRT lacks become operators of ours, by either writer."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from smalti.export import tflite, tflite_direct
from smalti.export.functions import ConversionError
from smalti.export.tflite import export_tflite
from smalti.runtime import Session


class Call(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, *args):
        return self.call(*args)


X, GRID = torch.randn(2, 3, 7, 5), torch.rand(2, 4, 6, 2) * 2.6 - 1.3
VOLUME, POINTS = torch.randn(1, 2, 4, 5, 6), torch.rand(1, 3, 4, 5, 3) * 2.6 - 1.3
HALVES = torch.randn(3, 40, 2)

CALLS = {
    "bilinear": (lambda x, g: functional.grid_sample(x, g, align_corners=False), (X, GRID)),
    "nearest": (
        lambda x, g: functional.grid_sample(x, g, "nearest", "border", align_corners=True),
        (X, GRID),
    ),
    "bicubic": (
        lambda x, g: functional.grid_sample(x, g, "bicubic", "reflection", align_corners=False),
        (X, GRID),
    ),
    "volume": (lambda x, g: functional.grid_sample(x, g, align_corners=True), (VOLUME, POINTS)),
    "twice": (lambda x: functional.interpolate(x, scale_factor=2, mode="bicubic"), (X,)),
    "size": (
        lambda x: functional.interpolate(x, (9, 4), mode="bicubic", align_corners=True),
        (X,),
    ),
    "irfft": (lambda x: torch.fft.irfft(torch.view_as_complex(x), 79), (HALVES,)),
    "cut": (lambda x: torch.fft.irfft(torch.view_as_complex(x), 70), (HALVES,)),
    "filled": (lambda x: torch.fft.irfft(torch.view_as_complex(x), n=90), (HALVES,)),
}


@pytest.mark.parametrize("name", CALLS)
def test_without_the_converter(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "_lower", lambda m, args: tflite_direct.write(m, args))
    check(name, tmp_path)


@pytest.mark.parametrize("name", ["bilinear", "volume", "twice", "irfft", "cut", "filled"])
def test_by_the_converter(name, tmp_path):
    pytest.importorskip("litert_torch", exc_type=ImportError)
    check(name, tmp_path)


def check(name, folder):
    call, args = CALLS[name]
    errors = export_tflite(
        Call(call).eval(), args, folder / "m.tflite", input_names=["x", "g"][: len(args)]
    )
    assert max(errors) < 2e-6
    assert Session(folder / "m.tflite").artifact.native_nodes == 1


class Largest(nn.Module):
    """The largest and the smallest, along any axis, with their places."""

    def forward(self, x):
        down = x.topk(2, dim=1, largest=False)
        return *torch.topk(x, x.shape[-1]), down.values, down.indices


def test_the_largest_values_by_the_converter(tmp_path):
    pytest.importorskip("litert_torch", exc_type=ImportError)
    assert export_tflite(Largest().eval(), (X,), tmp_path / "m.tflite") == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: functional.interpolate(x, scale_factor=1.5, mode="bicubic"), "give size"),
        (
            lambda x: functional.interpolate(x, 3, mode="bicubic", antialias=True),
            "bicubic with antialias",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_mend(call, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        tflite_direct.write(Call(call).eval(), (X,))
