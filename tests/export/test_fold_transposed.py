"""Transposed convolutions as plain ones, and why some stay."""

import re

import onnx
import pytest
import torch
from folding import folded, rand, trained
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from smalti.export import export_onnx, export_tflite, fold_
from smalti.quant import quantize_
from smalti.runtime import Session


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


@st.composite
def layers(draw):
    """All whose kernel is a multiple of the stride."""
    stride, number = draw(st.integers(1, 3)), st.integers(0, 2)
    taps = [draw(st.integers(1, 3)), draw(st.integers(1, 3))]
    padding = [min(draw(number), (stride * tap - 1) // 2) for tap in taps]
    more = [min(draw(number), pad, stride - 1) for pad in padding]
    kernel = [stride * tap for tap in taps]
    return nn.ConvTranspose2d(3, 2, kernel, stride, padding, more, bias=draw(st.booleans()))


@given(layers())
def test_it_gives_the_same_with_as_many_weights(layer):
    x = rand(2, 3, 5, 4)
    module = nn.Sequential(layer).double().eval()
    plain, (row,) = folded(module, x)
    assert (row.name, row.kind, row.reason) == ("0", "transposed convolution", "")
    assert row.error < 1e-15
    assert plain[0].conv.weight.numel() == layer.weight.numel()


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(2, 2, 3, 2, 1), r"its kernel \(3, 3\) is no multiple of its stride 2"),
        (nn.ConvTranspose2d(2, 2, 2, 2, groups=2), "groups"),
        (nn.ConvTranspose2d(2, 2, 2, 1, dilation=2), "dilation"),
        (nn.ConvTranspose2d(2, 2, (2, 4), (2, 4)), "two strides"),
        (nn.ConvTranspose2d(2, 2, 4, 2, 0, 1), r"its output has more padding, \(1, 1\)"),
    ],
)
def test_others_stay_and_say_why(layer, reason):
    module = nn.Sequential(layer).double().eval()
    plain, (row,) = folded(module, rand(1, 2, 5, 4))
    assert type(plain[0]) is nn.ConvTranspose2d
    assert re.search(reason, row.reason)
    assert row.bytes_after == row.bytes_before


def test_a_batch_norm_behind_it_goes_in_first():
    x = rand(2, 4, 6, 5)
    module = trained(nn.Sequential(nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.BatchNorm2d(3)), x)
    _, rows = folded(module, x)
    assert [(r.name, r.kind, r.reason) for r in rows] == [
        ("1", "batch norm", ""),
        ("0", "transposed convolution", ""),
    ]


def test_quantization_and_both_engines_take_it(tmp_path):
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.ConvTranspose2d(64, 5, 4, 2, 1)).eval(), torch.randn(1, 64, 6, 5)
    wanted = module(x)
    fold_(module, (x,))
    (report,) = quantize_(module, "vq-2x256-g128", activations="float")
    assert (report.name, report.format) == ("0.conv", "vq-2x256-g128")
    assert (module(x) - wanted).norm() < 0.1 * wanted.norm()
    export_onnx(module, (x,), tmp_path / "m.onnx")
    assert "VQConv" in {n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node}
    export_tflite(module, (x,), tmp_path / "m.tflite")
    for file in ("m.onnx", "m.tflite"):
        (found,) = Session(tmp_path / file).run(x.numpy())
        torch.testing.assert_close(torch.from_numpy(found), module(x), rtol=1e-4, atol=1e-4)
