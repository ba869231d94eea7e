"""Torch's functions of complex tensors, in reals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from smalti.export.complex_number import Complex, function, of_pairs, pairs_of
from smalti.export.functions import ConversionError

Value = Any  # a Complex, a real tensor or a number


def _bilinear(product: Callable[[Any, Any], Tensor], a: Value, b: Value) -> Complex:
    """product(a, b), where either may be real."""
    if not isinstance(a, Complex):
        return of_pairs(torch.stack([product(a, b.real), product(a, b.imag)], -1))
    if not isinstance(b, Complex):
        return of_pairs(torch.stack([product(a.real, b), product(a.imag, b)], -1))
    real = product(a.real, b.real) - product(a.imag, b.imag)
    return of_pairs(torch.stack([real, product(a.real, b.imag) + product(a.imag, b.real)], -1))


@function("add", "__add__", "__radd__", "__iadd__")
def _add(a: Value, b: Value, alpha: float = 1) -> Complex:
    x, y = pairs_of(a), pairs_of(b)
    return of_pairs(x + (y if alpha == 1 else alpha * y))


@function("sub", "__sub__", "__isub__")
def _sub(a: Value, b: Value) -> Complex:
    return of_pairs(pairs_of(a) - pairs_of(b))


@function("rsub", "__rsub__")
def _rsub(a: Value, b: Value) -> Complex:
    return _sub(b, a)


@function("mul", "__mul__", "__rmul__", "__imul__", "multiply")
def _mul(a: Value, b: Value) -> Complex:
    real, other = (b, a) if isinstance(a, Complex) else (a, b)
    if isinstance(real, int | float):
        return of_pairs(other.pairs * real)
    return _bilinear(torch.mul, a, b)


@function("div", "__truediv__", "__itruediv__", "divide", "true_divide")
def _div(a: Value, b: Value) -> Complex:
    if isinstance(b, int | float):
        return of_pairs(a.pairs / b)
    if isinstance(b, Tensor):
        return of_pairs(a.pairs / b.unsqueeze(-1))
    return _div(_mul(a, _conj(b)), b.pairs.square().sum(-1))


@function("__rtruediv__", "__rdiv__")
def _rdiv(a: Value, b: Value) -> Complex:
    return _div(b, a)


@function("neg", "__neg__", "negative")
def _neg(x: Complex) -> Complex:
    return of_pairs(-x.pairs)


@function("square")
def _square(x: Complex) -> Complex:
    return _mul(x, x)


@function("matmul", "__matmul__", "bmm", "mm")
def _matmul(a: Complex, b: Complex) -> Complex:
    return _bilinear(torch.matmul, a, b)


@function("linear")
def _linear(x: Complex, weight: Complex, bias: Complex | None = None) -> Complex:
    """One product of reals: each weight w as ((w.re, -w.im), (w.im, w.re))."""
    rows, columns = weight.shape
    block = _block(weight.pairs).permute(0, 2, 1, 3).reshape(2 * rows, 2 * columns)
    added = None if bias is None else bias.pairs.flatten()
    found = functional.linear(x.pairs.flatten(-2), block, added)
    return of_pairs(found.unflatten(-1, (rows, 2)))


def _block(pairs: Tensor) -> Tensor:
    """Return (..., 2, 2): what w does to the pairs that it multiplies."""
    signs = torch.tensor([1.0, -1.0])
    return torch.stack([pairs * signs, pairs.flip(-1)], -2)


@function("einsum")
def _einsum(equation: str, *operands: Any) -> Complex:
    """Pairs are one more index of the sum."""
    given = (
        operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands
    )
    if len(given) != 2 or "->" not in equation:
        raise ConversionError(
            f"einsum({equation!r}) of {len(given)} complex tensors; write out what is kept (->), "
            "and take two at a time"
        )
    equation = equation.replace(" ", "")
    (left, right), out = equation.partition("->")[0].split(","), equation.partition("->")[2]
    y, z = [c for c in "zyxwvutsrqponmlkjihgfedcba" if c not in equation][:2]
    a, b = given
    equation = f"{left}{z},{right}{y}{z}->{out}{y}"
    return of_pairs(torch.einsum(equation, a.pairs, _block(b.pairs)))


@function("real")
def _real(x: Complex) -> Tensor:
    return x.real


@function("imag")
def _imag(x: Complex) -> Tensor:
    return x.imag


@function("abs", "__abs__", "absolute")
def _abs(x: Complex) -> Tensor:
    return x.pairs.square().sum(-1).sqrt()


@function("exp")
def _exp(x: Complex) -> Complex:
    size, angle = x.real.exp(), x.imag
    return of_pairs(torch.stack([size * angle.cos(), size * angle.sin()], -1))


@function("angle")
def _angle(x: Complex) -> Tensor:
    return torch.atan2(x.imag, x.real)


@function("conj", "conj_physical", "resolve_conj")
def _conj(x: Complex) -> Complex:
    return of_pairs(x.pairs * torch.tensor([1.0, -1.0]))


@function("view_as_real")
def _view_as_real(x: Complex) -> Tensor:
    return x.pairs


@function("clone", "contiguous", "detach", "to", "type", "cfloat", "cpu", "resolve_neg")
def _same(x: Complex, *args: Any, **kwargs: Any) -> Complex:
    dtypes = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.dtype)]
    if any(dtype != torch.complex64 for dtype in dtypes):
        raise ConversionError(f"complex numbers to {dtypes[0]}; take .real")
    return Complex(x.form)


@function("sum")
def _sum(x: Complex, dim: Any = None, keepdim: bool = False) -> Complex:
    return of_pairs(x.pairs.sum(_axes(x, dim), keepdim))


@function("mean")
def _mean(x: Complex, dim: Any = None, keepdim: bool = False) -> Complex:
    return of_pairs(x.pairs.mean(_axes(x, dim), keepdim))


def _axes(x: Complex, dim: Any) -> list[int]:
    axes = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    return [a % x.ndim for a in axes]
