"""Operators have gradients, of any order: those of their references."""

import torch
from torch.autograd import gradcheck, gradgradcheck

from smalti.runtime.ops.grid_sample.op import grid_sample
from smalti.runtime.ops.hadamard_transform.op import hadamard_transform


def test_gradients_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    image = torch.randn(1, 2, 4, 5, dtype=torch.double, requires_grad=True)
    grid = (torch.rand(1, 3, 2, 2, dtype=torch.double) * 1.6 - 0.8).requires_grad_()
    assert gradcheck(lambda x, g: grid_sample.call(x, g, 0, 1, True, False), (image, grid))


def test_gradients_have_gradients() -> None:
    x = torch.randn(3, 8, dtype=torch.double, requires_grad=True)
    assert gradgradcheck(lambda t: hadamard_transform.call(t, 8, 3) ** 3, (x,))


def test_inputs_that_need_none_get_none() -> None:
    image, grid = torch.randn(1, 1, 4, 4), torch.zeros(1, 2, 2, 2, requires_grad=True)
    grid_sample.call(image, grid, 0, 0, False, False).sum().backward()
    assert image.grad is None
    assert grid.grad is not None
