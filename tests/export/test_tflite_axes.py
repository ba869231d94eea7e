"""Slices, joins, turns and sums in .tflite files that no converter wrote."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from smalti.export.functions import ConversionError
from smalti.export.tflite_direct import write
from smalti.runtime import Session


class Parts(nn.Module):
    """Every way to name a place."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        ends = torch.cat([x[..., 2:], x[..., -1:], x[:, :1, 1:9]], -1)
        joined = torch.cat([x[0], x[-1], x[:, 0]])
        return ends, joined, x[:, -2:].sum(-1), x.sum((0, 2), keepdim=True), x[:, :, 1]


class Turns(nn.Module):
    """Axes in another order, sizes that grow, and what is left of an axis."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        spread = (x.square().mean((-1, 1), keepdim=True) + 1).sqrt()
        turned = x.transpose(0, -1), x.permute(1, -1, 0)
        return *turned, pad(x, (1, 2, 0, 3)), pad(x, (0, 1)), x / spread, x.mean(0)


class Steps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, ::2]


@pytest.mark.parametrize("module", [Parts(), Turns()])
def test_parts_of_a_tensor(module: nn.Module, tmp_path: Path) -> None:
    x = torch.randn(2, 1, 5)
    (tmp_path / "m.tflite").write_bytes(write(module, (x,)).to_bytes())
    found = Session(tmp_path / "m.tflite", threads=1).run(x.numpy())
    for got, wanted in zip(found, module(x), strict=True):
        assert got.shape == wanted.shape
        assert np.abs(got - wanted.numpy()).max() <= 1e-6


def test_steps_are_for_the_converter() -> None:
    with pytest.raises(ConversionError, match="slice.Tensor with a step of 2; LiteRT's has none"):
        write(Steps(), (torch.zeros(2, 4),))


class Mirrored(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return pad(x, (1, 1), "reflect")


def test_other_padding_is_for_the_converter() -> None:
    with pytest.raises(ConversionError, match=r"pad.default of \[1, 1\], 'reflect'; fill up with"):
        write(Mirrored(), (torch.zeros(1, 2, 4),))
