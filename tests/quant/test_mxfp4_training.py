import math

import pytest
import torch
from torch import nn

from smalti.quant.mxfp4_training import (
    mxfp4_backward_,
    mxfp4_linear,
    mxfp4_matmul,
    round_mxfp4,
)

E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]


def block(*values):
    return torch.tensor([*values, *[0.0] * (32 - len(values))])


def mean_within_four_errors(draws, expected, axis=0):
    """Whether the mean over draws is what is expected, within four standard errors."""
    draws = draws.double()
    error = draws.std(axis) / math.sqrt(draws.shape[axis])
    return ((draws.mean(axis) - expected).abs() <= 4 * error + 1e-6).double().mean()


def test_the_numbers_of_e2m1_stay_what_they_are():
    x = block(*E2M1, *[-v for v in E2M1])
    assert torch.equal(round_mxfp4(x, stochastic=False), x)


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("size", [1.0, 2.0**-120, 2.0**100, 3e-20])
def test_only_numbers_of_e2m1_times_a_power_of_two_come_out(stochastic, size):
    torch.manual_seed(0)
    x = torch.randn(50, 64) * size
    found = round_mxfp4(x, stochastic=stochastic).unflatten(-1, (2, 32)).double()
    top = x.unflatten(-1, (2, 32)).abs().amax(-1, keepdim=True).double()
    steps = found / 2 ** (torch.floor(torch.log2(top)) - 2)
    assert set(steps.abs().flatten().tolist()) <= set(E2M1)


def test_ties_go_to_even_and_the_largest_clip():
    x = block(7.9, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -2.5, -7.0)
    expected = [6, 0, 1, 1, 2, 2, 4, 4, -2, -6]
    assert round_mxfp4(x, stochastic=False)[:10].tolist() == expected


@pytest.mark.parametrize("stochastic", [False, True])
def test_zeros_and_short_blocks_are_fine(stochastic):
    assert torch.equal(round_mxfp4(torch.zeros(3, 40), stochastic=stochastic), torch.zeros(3, 40))
    x = torch.cat([torch.full((32,), 100.0), torch.tensor([0.01])])
    found = round_mxfp4(x, stochastic=stochastic)
    assert found.shape == x.shape
    assert found[-1] in (0.0078125, 0.01171875)  # 4 and 6 steps of 2^-9, its own scale


def test_stochastic_rounding_is_unbiased():
    torch.manual_seed(0)
    x = torch.cat([torch.randn(96), torch.linspace(-7.99, 7.99, 64)])
    draws = round_mxfp4(x.expand(4000, -1), stochastic=True) / 0.75
    # Four standard errors: one value in 16000 lies outside by chance.
    assert mean_within_four_errors(draws, x.double()) > 0.99


def test_errors_on_normal_data_are_those_of_the_reference():
    """quantization.md, fact 10: mean squared errors and the bias of the slope."""
    torch.manual_seed(0)
    x = torch.randn(40000, 32)
    nearest = round_mxfp4(x, stochastic=False)
    unbiased = round_mxfp4(x, stochastic=True) / 0.75
    assert float((nearest - x).square().mean()) == pytest.approx(0.0132, rel=0.03)
    assert float((unbiased - x).square().mean()) == pytest.approx(0.0282, rel=0.03)
    slope = [float((y * x).sum() / x.square().sum()) - 1 for y in (nearest, unbiased)]
    assert slope[0] == pytest.approx(-0.020, abs=0.002)
    assert abs(slope[1]) < 1e-3


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("k", [64, 50])
def test_a_product_is_unbiased(rotated, k):
    torch.manual_seed(k)
    a, b = torch.randn(3, k), torch.randn(4, k)
    draws = [mxfp4_matmul(a, b, stochastic=True, rotated=rotated) for _ in range(600)]
    assert mean_within_four_errors(torch.stack(draws), (a @ b.T).double()) == 1


def test_nearest_rounding_is_biased_where_stochastic_is_not():
    """A large value in each block sets a step that every small one is rounded away by."""
    a = torch.full((1, 32), 0.2)
    a[0, 0] = 4.0
    b = torch.ones(1, 32)
    b[0, 0] = 0
    nearest = mxfp4_matmul(a, b, stochastic=False, rotated=False)
    assert float(nearest) == 0
    draws = [mxfp4_matmul(a, b, stochastic=True, rotated=False) for _ in range(500)]
    assert float(torch.stack(draws).mean()) == pytest.approx(6.2, rel=0.1)


def test_rotation_lowers_the_error_of_outliers():
    torch.manual_seed(0)
    a, b = torch.randn(64, 256), torch.randn(64, 256)
    a[:, ::32] *= 30
    exact = a @ b.T
    plain, rotated = (
        sum(
            (mxfp4_matmul(a, b, stochastic=True, rotated=r) - exact).square().mean()
            for _ in range(10)
        )
        for r in (False, True)
    )
    assert rotated < 0.8 * plain


def gradients(x, weight, bias, function):
    x, weight, bias = (t.detach().requires_grad_() for t in (x, weight, bias))
    function(x, weight, bias).sin().sum().backward()
    return torch.cat([x.grad.flatten(), weight.grad.flatten(), bias.grad.flatten()])


@pytest.mark.parametrize("rotated", [False, True])
def test_gradients_of_a_linear_layer_are_unbiased(rotated):
    torch.manual_seed(1)
    x, weight, bias = torch.randn(2, 10, 40), torch.randn(24, 40) / 6, torch.randn(24)
    exact = gradients(x, weight, bias, nn.functional.linear).double()
    draws = [
        gradients(x, weight, bias, lambda *a: mxfp4_linear(*a, rotated=rotated)) for _ in range(400)
    ]
    assert mean_within_four_errors(torch.stack(draws), exact) > 0.995
    assert torch.allclose(draws[0][-24:].double(), exact[-24:]), "the bias has no product"


def test_forward_is_the_float_one_and_every_call_draws_anew():
    torch.manual_seed(0)
    x, weight = torch.randn(5, 64), torch.randn(32, 64)
    assert torch.equal(mxfp4_linear(x, weight), nn.functional.linear(x, weight))
    one, other = (gradients(x, weight, torch.zeros(32), mxfp4_linear) for _ in range(2))
    assert not torch.equal(one, other)


def test_a_single_vector_has_gradients_too():
    x = torch.randn(32, requires_grad=True)
    mxfp4_linear(x, torch.randn(8, 32)).sum().backward()
    assert x.grad.shape == (32,)


def test_a_module_keeps_its_layers_and_gets_its_backward_again():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    x = torch.randn(16, 64)
    exact = torch.autograd.grad(module(x).square().sum(), module[0].weight)[0]
    with mxfp4_backward_(module):
        assert type(module[0]) is nn.Linear
        rough = torch.autograd.grad(module(x).square().sum(), module[0].weight)[0]
    again = torch.autograd.grad(module(x).square().sum(), module[0].weight)[0]
    assert torch.equal(again, exact)
    error = float((rough - exact).norm() / exact.norm())
    assert 0.01 < error < 0.5


def test_a_net_learns_with_these_gradients():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1))
    x = torch.randn(256, 32)
    y = x[:, :4].square().sum(1, keepdim=True) - 4
    optimizer = torch.optim.AdamW(module.parameters(), 1e-2)
    losses = []
    with mxfp4_backward_(module):
        for _ in range(150):
            optimizer.zero_grad()
            loss = (module(x) - y).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.15 * losses[0]
