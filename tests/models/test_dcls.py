"""Learnable spacings: the kernel by its formula, and folded into a convolution."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from smalti.export import export_onnx, fold_
from smalti.export.fold import fold_kernels_
from smalti.models.dcls import DclsConv1d, DclsConv2d
from smalti.quant import quantize_
from smalti.runtime import Session


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(5)


def kernel_by_loops(layer):
    """Tap by tap in numpy."""
    weight, at, width = (t.detach().numpy() for t in (layer.weight, layer.positions, layer.widths))
    taps = layer.taps
    found = np.zeros((*weight.shape[:2], *taps))
    for o, i, k in np.ndindex(weight.shape):
        spread = np.ones(taps)
        for tap in np.ndindex(*taps):
            for axis, index in enumerate(tap):
                half = taps[axis] // 2
                away = index - np.clip(at[axis, o, i, k], -half, half) - half
                if layer.version == "v1":
                    spread[tap] *= max(0, 1 - abs(away))
                else:
                    spread[tap] *= np.exp(-0.5 * (away / (abs(width[axis, o, i, k]) + 0.27)) ** 2)
        if layer.version == "gauss":
            spread /= spread.sum() + 1e-7
        found[o, i] += weight[o, i, k] * spread
    return found


@pytest.mark.parametrize("version", ["v1", "gauss"])
@pytest.mark.parametrize("make", [DclsConv1d, DclsConv2d])
@pytest.mark.parametrize("taps", [1, 6, 7])
def test_the_kernel_is_that_of_the_papers(make, version, taps):
    layer = make(4, 6, 3, taps, groups=2, version=version).double()
    with torch.no_grad():
        layer.positions.normal_(std=taps / 2)
        layer.widths.normal_()
    np.testing.assert_allclose(layer.dense_kernel().detach(), kernel_by_loops(layer), atol=1e-12)


@given(st.lists(st.floats(-20, 20), min_size=3, max_size=3), st.integers(1, 12))
def test_bilinear_weights_neither_grow_nor_vanish_inside_the_grid(positions, taps):
    layer = DclsConv1d(1, 1, 3, taps if taps % 2 else taps + 1, version="v1").double()
    with torch.no_grad():
        layer.positions.copy_(torch.tensor(positions).view(1, 1, 1, 3))
        layer.weight.fill_(1)
        assert float(layer.dense_kernel().sum()) == pytest.approx(3)


def test_positions_and_widths_learn():
    layer = DclsConv2d(2, 3, 4, 5).double()
    layer(torch.randn(1, 2, 9, 9).double()).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in layer.parameters())
    x = torch.randn(1, 1, 5, 5).double()
    for version in ("v1", "gauss"):
        one = DclsConv2d(1, 1, 2, 5, version=version).double()
        state = dict(one.named_parameters())
        trained = [n for n in state if state[n].requires_grad]

        def run(*values, one=one, trained=trained):
            return torch.func.functional_call(one, dict(zip(trained, values, strict=True)), (x,))

        assert torch.autograd.gradcheck(run, tuple(state[n] for n in trained))


@pytest.mark.parametrize("version", ["v1", "gauss"])
@pytest.mark.parametrize(
    ("make", "shape", "options"),
    [
        (DclsConv1d, (2, 4, 30), {"padding": 5, "stride": 2}),
        (DclsConv2d, (2, 4, 17, 15), {"padding": (5, 3), "groups": 2}),
        (DclsConv2d, (2, 4, 17, 15), {"bias": False, "stride": (1, 2)}),
    ],
)
def test_it_folds_into_a_plain_convolution(make, shape, options, version):
    module = nn.Sequential(make(4, 6, 3, 11, version=version, **options), nn.ReLU()).double().eval()
    x = torch.randn(shape, dtype=torch.float64)
    expected = module(x)
    (row,) = fold_(module, (x,))
    assert (row.name, row.kind, row.reason) == ("0", "constructed kernel", "")
    assert type(module[0]) in (nn.Conv1d, nn.Conv2d)
    assert (module(x) - expected).norm() <= 1e-6 * expected.norm()


def test_borders_of_zeros_are_cut_with_their_padding():
    layer = DclsConv2d(2, 3, 4, 15, padding=(7, 2), version="v1").double()
    with torch.no_grad():
        layer.positions.uniform_(-1.5, 1.5)
    module = nn.Sequential(layer, nn.ReLU()).eval()
    x = torch.randn(1, 2, 20, 20, dtype=torch.float64)
    expected = module(x)
    fold_(module, (x,))
    assert module[0].kernel_size == (5, 11), "taps up to 2 off the middle; 2 pads to cut"
    assert module[0].padding == (2, 0)
    torch.testing.assert_close(module(x), expected)


def test_pruning_says_what_it_costs():
    torch.manual_seed(0)
    module = nn.Sequential(DclsConv2d(2, 4, 3, 17, padding=8), nn.ReLU()).double().eval()
    x = torch.randn(1, 2, 20, 20, dtype=torch.float64)
    exact, rows = copy.deepcopy(module), []
    for prune in (1e-6, 1e-2, 0.2):
        pruned = copy.deepcopy(exact)
        (row,) = fold_kernels_(pruned, (x,), prune=prune)
        expected, found = exact[0](x).detach(), pruned[0](x).detach()
        assert row.error == pytest.approx(float((found - expected).norm() / expected.norm()))
        rows.append((row.error, -int((pruned[0].weight != 0).sum())))
    assert rows == sorted(rows) and rows[0][0] < 1e-5 < 1e-3 < rows[2][0]
    assert rows[0][1] < rows[2][1]


class Separable(nn.Module):
    """Any module with the method and the attributes of a convolution folds."""

    padding_mode, dilation, stride, padding, groups, bias = "zeros", 2, 1, "same", 1, None

    def __init__(self):
        super().__init__()
        self.column, self.row = (
            nn.Parameter(torch.randn(3, 2, 3)),
            nn.Parameter(torch.randn(3, 2, 5)),
        )

    def dense_kernel(self):
        return torch.einsum("oix,oiy->oixy", self.column, self.row)

    def forward(self, x):
        return functional.conv2d(x, self.dense_kernel(), None, 1, "same", 2)


def test_any_constructed_kernel_folds():
    module = nn.Sequential(Separable(), nn.ReLU()).double().eval()
    x = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    expected = module(x)
    assert not fold_(module, (x,))[0].reason
    torch.testing.assert_close(module(x), expected)


def test_a_net_with_norms_quantizes_and_exports_its_folded_kernels(tmp_path):
    layers = [DclsConv2d(8, 32, 5, 9, padding=4), nn.BatchNorm2d(32), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    x = torch.randn(4, 8, 12, 12)
    module(x)
    module.eval()
    expected = module(x).detach()
    assert {row.kind for row in fold_(module, (x,))} == {"constructed kernel", "batch norm"}
    (row,) = quantize_(module, "vq-2x256", activations="float")
    assert row.kind == "Conv2d" and row.format.startswith("vq-2x256")
    export_onnx(module, (x,), tmp_path / "m.onnx", fallback="none")
    (found,) = Session(tmp_path / "m.onnx").run(x.numpy())
    assert np.linalg.norm(found - expected.numpy()) < 0.1 * expected.norm()


@pytest.mark.parametrize(
    ("options", "message"), [({"version": "v2"}, "v1, gauss"), ({"groups": 3}, "groups=3")]
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DclsConv2d(4, 6, 3, 7, **options)
