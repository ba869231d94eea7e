"""Interpolation between fixed knots, as one product in both engines."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from smalti.export import export_onnx, export_tflite
from smalti.export.fold.knots import KnotMatrices
from smalti.runtime import Session


def both(x, **options):
    expected = functional.interpolate(x, mode="linear", **options)
    with KnotMatrices():
        return functional.interpolate(x, mode="linear", **options), expected


@given(st.integers(1, 40), st.integers(1, 90), st.booleans())
def test_sizes_are_as_torchs(knots, count, align):
    x = torch.randn(2, 3, knots, dtype=torch.float64)
    torch.testing.assert_close(*both(x, size=count, align_corners=align), rtol=1e-9, atol=1e-9)


@given(st.integers(2, 40), st.floats(0.5, 7), st.sampled_from([None, True]))
def test_factors_are_as_torchs(knots, factor, recompute):
    x = torch.randn(2, 3, knots, dtype=torch.float64)
    found = both(x, scale_factor=factor, recompute_scale_factor=recompute)
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)


def test_it_is_differentiable():
    x = torch.randn(1, 1, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: both(v, size=9)[0], (x,))


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 2, 4), {"mode": "nearest", "size": 9}),
        ((1, 2, 4, 4), {"mode": "bilinear", "size": 9}),
        ((1, 1, 100), {"mode": "linear", "size": 20}),
        ((1, 1, 60), {"mode": "linear", "size": 600}),
    ],
)
def test_what_is_large_or_of_another_kind_is_torchs(shape, options):
    x = torch.randn(shape)
    with KnotMatrices():
        found = functional.interpolate(x, **options)
    assert torch.equal(found, functional.interpolate(x, **options))


class Block(nn.Module):
    """A block of N-HiTS: pool, an MLP, and knots that are interpolated to both horizons."""

    def __init__(self, past, future, knots, pool):
        super().__init__()
        self.past, self.future, self.knots = past, future, knots
        self.pool = nn.MaxPool1d(pool, pool, ceil_mode=True)
        self.mlp = nn.Sequential(
            nn.Linear(-(-past // pool), 64), nn.ReLU(), nn.Linear(64, 2 * knots)
        )

    def forward(self, x):
        backward, forward = self.mlp(self.pool(x[:, None])[:, 0]).split(self.knots, 1)
        return tuple(
            functional.interpolate(knots[:, None], size=size, mode="linear")[:, 0]
            for knots, size in ((backward, self.past), (forward, self.future))
        )


class Forecaster(nn.Module):
    """Challu et al. 2023: each block sees what the ones before it have not explained."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(Block(60, 24, k, p) for k, p in ((3, 8), (6, 4), (24, 1)))

    def forward(self, x):
        total = 0
        for block in self.blocks:
            past, future = block(x)
            x, total = x - past, total + future
        return total


def test_a_forecaster_has_only_products_for_its_knots(tmp_path):
    torch.manual_seed(0)
    module, x, path = Forecaster().eval(), torch.randn(3, 60), tmp_path / "m.onnx"
    export_onnx(module, (x,), path, dynamic_shapes=({0: torch.export.Dim("batch")},))
    kinds = {node.op_type for node in ir.load(path).graph}
    assert "MatMul" in kinds and not kinds & {"GatherND", "Resize", "Mul"}
    for batch in (x, x[:1], torch.randn(7, 60)):
        (found,) = Session(path).run(batch.numpy())
        np.testing.assert_allclose(found, module(batch).detach(), rtol=1e-4, atol=1e-5)


def test_litert_runs_the_same_forecaster(tmp_path):
    pytest.importorskip("litert_torch", exc_type=ImportError)
    torch.manual_seed(0)
    module, x, path = Forecaster().eval(), torch.randn(1, 60), tmp_path / "m.tflite"
    export_tflite(module, (x,), path)
    (found,) = Session(path).run(x.numpy())
    np.testing.assert_allclose(found, module(x).detach(), rtol=1e-4, atol=1e-5)


def test_a_length_that_varies_is_left_to_the_engine(tmp_path):
    class Varying(nn.Module):
        def forward(self, x):
            return functional.interpolate(x, size=20, mode="linear")

    x, path = torch.randn(2, 3, 8), tmp_path / "m.onnx"
    export_onnx(Varying(), (x,), path, dynamic_shapes=({2: torch.export.Dim("length")},))
    longer = torch.randn(2, 3, 13)
    (found,) = Session(path).run(longer.numpy())
    np.testing.assert_allclose(found, Varying()(longer), rtol=1e-4, atol=1e-5)
