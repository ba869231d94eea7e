"""Feedback rounding: its identities, to machine precision, and what it gains."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from smalti.quant.block import block_lookup
from smalti.quant.grids import load_grid
from smalti.quant.rounding.choose import round_by_curvature
from smalti.quant.rounding.curvature import Curvature, damped
from smalti.quant.rounding.feedback import Factor, round_feedback
from smalti.quant.rounding.lookup import Lookup
from smalti.quant.rounding.nearest import nearest_codes, round_nearest
from smalti.quant.rounding.scales import refit_scales
from smalti.runtime.format import GRIDS, BlockFormat

NAMES = [f"vq-{p}x{n}" for p, n in GRIDS]


def hessian(n: int, seed: int, spread: float = 1.0) -> Tensor:
    """A positive definite matrix whose directions differ by 10^spread."""
    g = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64))
    return q @ torch.diag(torch.logspace(0, -spread, n, dtype=torch.float64)) @ q.T


def problem(name: str, m: int, n: int, seed: int = 0) -> tuple[Tensor, Lookup]:
    g = torch.Generator().manual_seed(seed)
    weight = torch.randn(m, n, generator=g, dtype=torch.float64)
    values = torch.from_numpy(load_grid(name).values)
    scales = 0.8 + 0.4 * torch.rand(m, -(-n // 64), generator=g)
    return weight, Lookup(values, scales, None, 64)


def loss(error: Tensor, inputs: Tensor, outputs: Tensor | None) -> float:
    seen = error @ inputs @ error.T
    return float((seen if outputs is None else seen @ outputs).trace())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("two_sided", [False, True])
def test_loss_is_the_sum_of_local_errors_and_codes_are_nearest(name, two_sided):
    """tr(E H_I E^T H_O) = sum of D_O[i] F_ij D_I[j] F_ij^T, F = L_O^T E L_I = target - W'."""
    m, n = 24, 136
    weight, lookup = problem(name, m, n)
    p = lookup.values.shape[1]
    inputs, outputs = hessian(n, 1), hessian(m, 2) if two_sided else None
    of_inputs, of_outputs = Factor.of(inputs, p), Factor.of(outputs) if two_sided else None
    codes = round_feedback(weight, lookup, of_inputs, of_outputs)
    error = weight - lookup.decode(codes).to(torch.float64)
    rows = of_outputs.lower if two_sided else torch.eye(m, dtype=torch.float64)
    local = (rows.T @ error @ of_inputs.lower).unflatten(1, (-1, p))
    each = torch.einsum("mvp,vpq,mvq->mv", local, of_inputs.blocks, local)
    if two_sided:
        each = each * of_outputs.blocks[:, 0, 0].unsqueeze(1)
    assert float(each.sum()) == pytest.approx(loss(error, inputs, outputs), rel=1e-12)
    # Every code is the nearest one to its target, in the metric of its block.
    target = local.flatten(1) + lookup.decode(codes)
    scale = lookup.spread(lookup.scales, n)[:, ::p, None, None]
    away = target.unflatten(1, (-1, p)).unsqueeze(2) - scale * lookup.values.to(torch.float64)
    distance = torch.einsum("mvkp,vpq,mvkq->mvk", away, of_inputs.blocks, away)
    found = distance.gather(2, codes.unsqueeze(2)).squeeze(2)
    assert torch.allclose(found, distance.amin(2), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_an_identity_over_the_outputs_is_ldlq(name):
    weight, lookup = problem(name, 20, 64)
    inputs = Factor.of(hessian(64, 3), lookup.values.shape[1])
    eye = Factor.of(torch.eye(20, dtype=torch.float64))
    one, two = (round_feedback(weight, lookup, inputs, f) for f in (None, eye))
    assert torch.equal(one, two)


@pytest.mark.parametrize("name", NAMES)
def test_both_identities_are_nearest_rounding(name):
    weight, lookup = problem(name, 20, 64)
    p = lookup.values.shape[1]
    codes = round_feedback(weight, lookup, None, None)
    z = (weight / lookup.spread(lookup.scales, 64)).to(torch.float32).reshape(-1, p)
    expected = nearest_codes(z, load_grid(name)).reshape(20, -1)
    assert (codes == expected).float().mean() > 0.999  # ties aside


def gptq(weight: Tensor, h: Tensor, lookup: Lookup) -> Tensor:
    """Textbook GPTQ, column by column from the left, by the inverse of what is left of H."""
    w, codes = weight.clone(), []
    left = torch.linalg.inv(h)
    for j in range(w.shape[1]):
        scale = lookup.scales[:, j // lookup.width].to(w)
        z = (w[:, j] / scale).unsqueeze(1)
        code = (z - lookup.values[:, 0].to(w)).abs().argmin(1)
        error = (w[:, j] - lookup.values[code, 0] * scale) / left[j, j]
        w[:, j:] -= error.unsqueeze(1) * left[j, j:]
        left = left - torch.outer(left[:, j], left[j]) / left[j, j]
        codes.append(code)
    return torch.stack(codes, 1)


def test_ldlq_on_reversed_columns_is_gptq():
    weight, lookup = problem("vq-1x16", 16, 64, seed=4)
    h = hessian(64, 5)
    expected = gptq(weight, h, lookup)
    flipped = round_feedback(weight.flip(1), lookup, Factor.of(h.flip(0, 1)), None)
    assert torch.equal(flipped.flip(1), expected)


@given(st.integers(1, 9), st.integers(1, 70), st.sampled_from(NAMES), st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_shape_rounds_and_feedback_beats_none(m, n, name, two_sided):
    g = torch.Generator().manual_seed(m * 100 + n)
    weight = torch.randn(m, n, generator=g)
    grid = load_grid(name)
    codes, lookup = round_nearest(weight, grid, 64)
    curvature = Curvature(
        hessian(n, 1, 2).float(), hessian(m, 2, 2).float() if two_sided else None, torch.zeros(n)
    )
    better, refitted = round_by_curvature(weight, lookup, curvature, refit=True)
    assert better.shape == codes.shape
    assert int(better.min()) >= 0
    assert int(better.max()) < len(grid.values)
    assert torch.isfinite(refitted.scales).all()


@pytest.mark.parametrize("name", NAMES)
def test_each_step_lowers_the_loss(name):
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 256, generator=g)
    h_i, h_o = hessian(256, 1, 2).float(), hessian(64, 2, 2).float()
    codes, lookup = round_nearest(weight, load_grid(name), 128)

    def cost(codes: Tensor, lookup: Lookup) -> float:
        return loss(weight - lookup.decode(codes), h_i, h_o)

    nearest = cost(codes, lookup)
    one = cost(*round_by_curvature(weight, lookup, Curvature(h_i, None, h_i[0]), refit=True))
    two = cost(*round_by_curvature(weight, lookup, Curvature(h_i, h_o, h_i[0]), refit=True))
    assert one < 0.75 * nearest
    assert two < 0.8 * one


def test_the_toy_problem_of_two_columns_a_code():
    """128 x 128, 2 bits: exact blocks with the full metric lose a fifth of what nearest does."""
    g = torch.Generator().manual_seed(0)
    lag = (torch.arange(128).unsqueeze(0) - torch.arange(128).unsqueeze(1)).abs()
    h = 0.9 ** lag.to(torch.float64)
    weight = torch.randn(128, 128, generator=g, dtype=torch.float64)
    grid = load_grid("vq-2x16")
    codes, lookup = round_nearest(weight.float(), grid, 128)
    plain = loss(weight - lookup.decode(codes), h, None)
    fed = round_feedback(weight, lookup, Factor.of(damped(h, 1e-4), 2), None)
    assert loss(weight - lookup.decode(fed), h, None) < 0.3 * plain


def test_refitted_scales_are_the_least_squares_solution():
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 128, generator=g)
    h_i, h_o = hessian(128, 1).float(), hessian(6, 2).float()
    codes, lookup = round_nearest(weight, load_grid("vq-2x16"), 64)
    found = refit_scales(weight, lookup, codes, h_i, h_o).scales
    unit = Lookup(lookup.values, torch.ones(6, 2), None, 64).decode(codes)
    root_i, root_o = torch.linalg.cholesky(h_i), torch.linalg.cholesky(h_o)
    columns = []
    for r in range(6):
        for k in range(2):
            part = torch.zeros(6, 128)
            part[r, 64 * k : 64 * k + 64] = unit[r, 64 * k : 64 * k + 64]
            columns.append((root_o.T @ part @ root_i).flatten())
    expected = torch.linalg.lstsq(
        torch.stack(columns, 1).double(), (root_o.T @ weight @ root_i).flatten().double()
    ).solution
    assert torch.allclose(found.flatten().double(), expected, rtol=1e-3)


@pytest.mark.parametrize("kind", ["int4", "int2", "nf4", "mxfp4", "nvfp4"])
def test_feedback_works_with_block_formats(kind):
    g = torch.Generator().manual_seed(0)
    weight, h = torch.randn(32, 256, generator=g), hessian(256, 1, 2).float()
    lookup = block_lookup(weight, BlockFormat.parse(kind))
    near = round_feedback(weight, lookup, None, None)
    codes, same = round_by_curvature(weight, lookup, Curvature(h, None, h[0]), refit=False)
    assert same.scales is lookup.scales or torch.equal(same.scales, lookup.scales)
    fed = loss(weight - lookup.decode(codes)[:, :256], h, None)
    assert fed < 0.8 * loss(weight - lookup.decode(near)[:, :256], h, None)


def test_rows_of_zeros_stay_zero():
    weight = torch.zeros(4, 64)
    weight[1] = torch.randn(64, generator=torch.Generator().manual_seed(0))
    codes, lookup = round_nearest(weight, load_grid("vq-2x64"), 64)
    h = hessian(64, 1).float()
    codes, lookup = round_by_curvature(weight, lookup, Curvature(h, None, h[0]), refit=True)
    found = lookup.decode(codes)
    assert torch.isfinite(found).all()
    assert np.allclose(found[[0, 2, 3]], 0)
