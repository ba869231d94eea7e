"""Bases that nothing has trained: one layer, which quantization leaves alone."""

import copy

import numpy as np
import onnx_ir as ir
import pytest
import torch
from test_fold_linear import LoRA, NormLin, Position, Rotation
from torch import nn
from torch.nn import functional

from smalti.export import export_onnx, fold_
from smalti.export.fold import Basis, FoldError, fold_linear_
from smalti.quant import quantize_
from smalti.runtime import Session


@pytest.fixture(autouse=True)
def without_gradients():
    torch.manual_seed(3)
    with torch.no_grad():
        yield


class Cosines(nn.Module):
    """DCT-II by its formula: no parameter, no buffer."""

    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, x):
        n = x.shape[-1]
        at = torch.arange(n, dtype=torch.float64) + 0.5
        basis = torch.cos(torch.pi / n * at * torch.arange(self.keep).unsqueeze(1))
        return x @ basis.T.to(x.dtype)


class Knots(nn.Module):
    def __init__(self, size, mode):
        super().__init__()
        self.size, self.mode = size, mode

    def forward(self, x):
        if self.mode == "bicubic":
            return functional.interpolate(x[:, None, None], (1, self.size), mode=self.mode)[:, 0, 0]
        return functional.interpolate(x[:, None], self.size, mode=self.mode)[:, 0]


class LowPass(nn.Module):
    """A truncated spectrum."""

    def forward(self, x):
        spectrum = torch.fft.rfft(x)
        return torch.fft.irfft(spectrum[..., :5], n=24)


BASES = {
    "dct": Cosines(12),
    "linear knots": Knots(40, "linear"),
    "nearest knots": Knots(40, "nearest"),
    "cubic knots": Knots(40, "bicubic"),
    "truncated spectrum": LowPass(),
}


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES)
def test_a_basis_folds_when_declared_and_stays_in_float(basis):
    module = nn.Sequential(nn.Linear(64, 24), basis, nn.LazyLinear(128)).double().eval()
    x = torch.randn(3, 64, dtype=torch.float64)
    expected = module(x)
    assert fold_(module, (x,)) == []
    row = fold_linear_(module, "1", (x,))
    assert type(module[1]) is Basis and row.error < 1e-12
    torch.testing.assert_close(module(x), expected)
    module.float()
    rows = {r.name: r for r in quantize_(module, "vq-2x16", activations="float")}
    assert rows["1"].format == "float" and rows["2"].format.startswith("vq")


def test_a_ridge_regression_on_cosines_exports_as_two_products(tmp_path):
    """The basis of a heartbeat's shape; nothing of how it was computed is in the file."""
    module = nn.Sequential(Cosines(12), nn.Linear(12, 2)).eval()
    x, path = torch.randn(5, 128), tmp_path / "m.onnx"
    expected = module(x)
    fold_linear_(module, "0", (x,))
    export_onnx(module, (x,), path, dynamic_shapes=({0: torch.export.Dim("batch")},))
    np.testing.assert_allclose(Session(path).run(x[:3].numpy())[0], expected[:3], atol=2e-5)
    assert {node.op_type for node in ir.load(path).graph} <= {"Gemm", "MatMul", "Add"}


@pytest.mark.parametrize(
    ("part", "axis", "message"),
    [
        (nn.Tanh(), -1, "not affine along axis -1"),
        (Position(), -1, "not affine along axis -1"),
        (nn.Linear(6, 6), -2, "not affine along axis -2"),
        (nn.Linear(6, 6), -3, "not affine along axis -3"),
        (nn.Embedding(4, 6), -1, "one float tensor"),
    ],
)
def test_what_is_declared_has_to_be_affine(part, axis, message):
    x = (
        torch.zeros(2, 5, dtype=torch.long)
        if isinstance(part, nn.Embedding)
        else torch.randn(2, 5, 6)
    )
    with pytest.raises(FoldError, match=message):
        fold_linear_(nn.Sequential(part).eval(), "0", (x,), axis)


def test_the_module_itself_has_to_be_wrapped():
    with pytest.raises(FoldError, match=r"nn.Sequential\(layer\)"):
        fold_linear_(LoRA(nn.Linear(6, 6), 2).eval(), "", (torch.randn(2, 6),))


def test_a_forecaster_in_a_rotated_domain_quantizes_what_it_has_learned(tmp_path):
    """As OLinear: rotate, mix series, predict, rotate back."""
    layers = [Rotation(96), NormLin(4, -2), LoRA(nn.Linear(96, 64), 4), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(64, 64), Rotation(64)).eval()
    x = torch.randn(2, 4, 96)
    expected = copy.deepcopy(module)(x)
    assert [r.reason for r in fold_(module, (x,))] == [""] * 4
    rows = {r.name: r.format for r in quantize_(module, "vq-2x256", activations="float")}
    assert rows["0"] == rows["5"] == rows["1.linear"] == "float"
    assert rows["2"].startswith("vq") and rows["4"].startswith("vq")
    export_onnx(module, (x,), tmp_path / "m.onnx")
    (found,) = Session(tmp_path / "m.onnx").run(x.numpy())
    assert np.linalg.norm(found - expected.numpy()) < 0.3 * expected.norm()
