"""GridEncoding as a layer: gradients, what it refuses, and its table in fewer bits."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from smalti.quant.table import quantize_table_
from smalti.runtime import native
from smalti.runtime.ops.grid_encode.module import GridEncoding, resolutions
from smalti.runtime.ops.grid_encode.op import INTERPOLATIONS, grid_encode


def encoding(interpolation: str = "linear", features: int = 2, **options: str) -> GridEncoding:
    torch.manual_seed(0)
    grid = GridEncoding(2, [3, (4, 5), 40], features, 7, interpolation, **options)
    nn.init.normal_(grid.table)
    return grid


@pytest.mark.parametrize("warp", ["none", "sin", "arcsin"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_gradients_are_those_of_finite_differences(interpolation: str, warp: str) -> None:
    grid = GridEncoding(2, [3, 40], 1, 4, interpolation, warp).double()
    torch.manual_seed(0)
    x = (torch.rand(3, 2, dtype=torch.double) * 0.8 + 0.1).requires_grad_(
        interpolation != "nearest"
    )

    def call(table: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        options = grid.features, grid.interpolation, grid.warp, grid.align_corners
        return grid_encode.call(points, table, grid.levels, None, None, *options)

    table = torch.randn_like(grid.table).requires_grad_()
    assert gradcheck(call, (table, x))
    if interpolation != "nearest":
        assert gradgradcheck(call, (table, x), fast_mode=True)


def test_an_eikonal_loss_reaches_the_table() -> None:
    grid, head = encoding("smoothstep"), nn.Linear(6, 1)
    x = torch.rand(50, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(head(grid(x)).sum(), x, create_graph=True)
    (slope.norm(dim=1) - 1).square().mean().backward()
    assert grid.table.grad is not None
    assert grid.table.grad.abs().sum() > 0


def test_shapes_around_the_points_are_kept() -> None:
    grid, x = encoding(), torch.rand(4, 3, 2)
    assert grid(x).shape == (4, 3, 6)
    assert torch.equal(grid(x)[1], grid(x[1]))


def test_growing_levels_are_whole_numbers() -> None:
    assert resolutions(16, 1.5, 4) == [16, 24, 36, 54]
    rows = GridEncoding(3, [4, 100], log2_rows=9).levels.tolist()
    assert rows == [[4, 4, 4, 0, 64], [100, 100, 100, 64, 512]]


@pytest.mark.parametrize(
    ("levels", "options", "message"),
    [
        ([(4, 5, 6)], {}, "levels: .4, 5, 6.; give 2 numbers"),
        ([4, 1], {}, "levels: .1, 1.; give 2 numbers of vertices, 2 or more"),
        ([4], {"interpolation": "cubic"}, "interpolation='cubic'.*simplex"),
        ([4], {"warp": "log"}, "warp='log'.*arcsin"),
    ],
)
def test_what_does_not_fit_is_refused(levels: list, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridEncoding(2, levels, **options)


# Of a Gaussian source: int8 by the largest value, 8 and 4 bits by scalars and pairs, 2 by fours.
# Theory: 256 Gaussian cells in one dimension lose 4e-5; pairs at best 0.0080; fours 0.063.
LOSSES = {"int8": 2e-4, "vq-1x256": 1e-3, "vq-2x256": 0.01, "vq-4x256": 0.09}


@pytest.mark.parametrize("form", LOSSES)
def test_a_quantized_table_is_close_and_runs_in_the_kernel(form: str) -> None:
    torch.manual_seed(0)
    grid = GridEncoding(2, [20, 40, 300], 4, 13)
    nn.init.normal_(grid.table, std=0.3)
    x, size = torch.rand(200, 2), grid.table.nbytes
    wanted = grid(x).detach()
    (report,) = quantize_table_(nn.Sequential(grid), form)
    assert report.name == "0"
    assert report.error <= LOSSES[form]
    assert report.bytes * 4 <= size * (1.01 if report.format == "int8" else 1.2)
    found = grid(x)
    assert (found - wanted).square().sum() <= 1.5 * report.error * wanted.square().sum()
    inputs = [x, grid.table, grid.levels, grid.scales, grid.codebook]
    attributes = {"features": 4, "interpolation": 1, "warp": 0, "align_corners": 1}
    ours = native.run_op("GridEncode", [t if t is None else t.numpy() for t in inputs], attributes)
    assert np.abs(ours - found.numpy()).max() <= 1e-4


def test_levels_without_features_stay_zero() -> None:
    for form in LOSSES:
        grid = GridEncoding(2, [3, 4], 4)
        nn.init.zeros_(grid.table)
        (report,) = quantize_table_(grid, form)
        assert report.error == 0
        assert not grid(torch.rand(5, 2)).any()


@pytest.mark.parametrize(
    ("form", "features", "message"),
    [
        ("int4", 2, "form='int4'; use one of int8"),
        ("vq-4x256", 2, "the module: 2 features a row; vq-4x256 takes multiples of 4"),
    ],
)
def test_tables_that_do_not_fit_a_form_stay(form: str, features: int, message: str) -> None:
    grid = encoding(features=features)
    with pytest.raises(ValueError, match=message):
        quantize_table_(grid, form)
    assert grid.table.dtype == torch.float32


def test_tables_are_quantized_once_and_only_finite() -> None:
    grid = encoding()
    quantize_table_(grid, "int8")
    with pytest.raises(ValueError, match="quantized already"):
        quantize_table_(grid, "int8")
    broken = encoding()
    with torch.no_grad():
        broken.table[3, 1] = torch.nan
    with pytest.raises(ValueError, match="0: the table is not finite"):
        quantize_table_(nn.Sequential(broken), "int8")
