"""Torch's functions of complex tensors, in reals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from smalti.export.complex_forms import Canvas, Pairs, Patch, canvas, whole
from smalti.export.complex_number import Complex, function, of_pairs, pairs_of
from smalti.export.tflite_ops import ConversionError

Value = Any  # a Complex, a real tensor or a number


def _axis(x: Complex | Tensor, axis: int) -> int:
    return axis % x.ndim


def _bilinear(product: Callable[[Any, Any], Tensor], a: Value, b: Value) -> Complex:
    """product(a, b), where either may be real."""
    if not isinstance(a, Complex):
        return of_pairs(torch.stack([product(a, b.real), product(a, b.imag)], -1))
    if not isinstance(b, Complex):
        return of_pairs(torch.stack([product(a.real, b), product(a.imag, b)], -1))
    real = product(a.real, b.real) - product(a.imag, b.imag)
    return of_pairs(torch.stack([real, product(a.real, b.imag) + product(a.imag, b.real)], -1))


@function("add", "__add__", "__radd__", "__iadd__", "add_")
def _add(a: Value, b: Value, alpha: float = 1) -> Complex:
    x, y = pairs_of(a), pairs_of(b)
    return of_pairs(x + (y if alpha == 1 else alpha * y))


@function("sub", "__sub__", "__isub__", "sub_")
def _sub(a: Value, b: Value) -> Complex:
    return of_pairs(pairs_of(a) - pairs_of(b))


@function("rsub", "__rsub__")
def _rsub(a: Value, b: Value) -> Complex:
    return _sub(b, a)


@function("mul", "__mul__", "__rmul__", "__imul__", "multiply", "mul_")
def _mul(a: Value, b: Value) -> Complex:
    real, other = (b, a) if isinstance(a, Complex) else (a, b)
    if isinstance(real, int | float):
        return of_pairs(other.pairs * real)
    return _bilinear(torch.mul, a, b)


@function("div", "__truediv__", "__itruediv__", "divide", "true_divide", "div_")
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
def _matmul(a: Value, b: Value) -> Complex:
    return _bilinear(torch.matmul, a, b)


@function("__rmatmul__")
def _rmatmul(a: Value, b: Value) -> Complex:
    return _matmul(b, a)


@function("linear")
def _linear(x: Value, weight: Value, bias: Value | None = None) -> Complex:
    """One product of reals: each weight w as ((w.re, -w.im), (w.im, w.re))."""
    if not isinstance(x, Complex) or not isinstance(weight, Complex):
        found = _bilinear(functional.linear, x, weight)
        return found if bias is None else _add(found, bias)
    rows, columns = weight.shape
    block = _block(weight.pairs).permute(0, 2, 1, 3).reshape(2 * rows, 2 * columns)
    added = None if bias is None else pairs_of(bias).flatten()
    found = functional.linear(x.pairs.flatten(-2), block, added)
    return of_pairs(found.unflatten(-1, (rows, 2)))


def _block(pairs: Tensor) -> Tensor:
    """Return (..., 2, 2): what w does to the pairs that it multiplies."""
    signs = torch.tensor([1.0, -1.0])
    return torch.stack([pairs * signs, pairs.flip(-1)], -2)


@function("einsum")
def _einsum(equation: str, *operands: Any) -> Complex:
    """Pairs are one more index of the sum."""
    given = operands[0] if len(operands) == 1 and isinstance(operands[0], list | tuple) else operands
    if len(given) != 2 or "->" not in equation:
        raise ConversionError(
            f"einsum({equation!r}) of {len(given)} complex tensors; write out what is kept (->), "
            "and take two at a time"
        )
    equation = equation.replace(" ", "")
    (left, right), out = equation.partition("->")[0].split(","), equation.partition("->")[2]
    y, z = [c for c in "zyxwvutsrqponmlkjihgfedcba" if c not in equation][:2]
    a, b = given
    if isinstance(a, Complex) and isinstance(b, Complex):
        return of_pairs(torch.einsum(f"{left}{z},{right}{y}{z}->{out}{y}", a.pairs, _block(b.pairs)))
    if isinstance(a, Complex):
        return of_pairs(torch.einsum(f"{left}{z},{right}->{out}{z}", a.pairs, b))
    return of_pairs(torch.einsum(f"{left},{right}{z}->{out}{z}", a, b.pairs))


@function("real")
def _real(x: Complex) -> Tensor:
    return x.real


@function("imag")
def _imag(x: Complex) -> Tensor:
    return x.imag


@function("abs", "__abs__", "absolute")
def _abs(x: Complex) -> Tensor:
    return x.pairs.square().sum(-1).sqrt()


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
    return [_axis(x, a) for a in axes]


@function("zeros_like")
def _zeros_like(x: Complex, **options: Any) -> Complex:
    return Complex(Canvas(x.form.shape, []))


@function("pad")
def _pad(x: Complex, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Complex:
    """Zeros are a canvas, so that a transform can leave them out."""
    if mode != "constant" or value or min(pad) < 0:
        raise ConversionError(f"pad({list(pad)}, {mode!r}) of complex numbers; fill up with zeros")
    sizes, ranges = list(x.shape), whole(x.shape)
    for i in range(len(pad) // 2):
        before, after, axis = pad[2 * i], pad[2 * i + 1], x.ndim - 1 - i
        ranges[axis] = before, before + sizes[axis]
        sizes[axis] += before + after
    return Complex(canvas(sizes, [Patch(ranges, x.form)]))


@function("cat", "concat", "concatenate")
def _cat(tensors: Sequence[Value], dim: int = 0) -> Complex:
    """Zeros stay a canvas."""
    parts = [t if isinstance(t, Complex) else of_pairs(pairs_of(t)) for t in tensors]
    axis = _axis(parts[0], dim)
    if not any(isinstance(part.form, Canvas) for part in parts):
        return of_pairs(torch.cat([part.pairs for part in parts], axis))
    sizes, patches = list(parts[0].shape), []
    sizes[axis] = 0
    for part in parts:
        inside = part.form.patches if isinstance(part.form, Canvas) else None
        given = [Patch(whole(part.shape), part.form)] if inside is None else inside
        patches += [patch.shifted(axis, sizes[axis]) for patch in given]
        sizes[axis] += part.shape[axis]
    return Complex(Canvas(sizes, patches))


@function("stack")
def _stack(tensors: Sequence[Value], dim: int = 0) -> Complex:
    pairs = [pairs_of(t) for t in tensors]
    return of_pairs(torch.stack(pairs, dim % pairs[0].dim()))


@function("size")
def _size(x: Complex, dim: int | None = None) -> Any:
    return x.shape if dim is None else x.shape[dim]


@function("dim", "ndimension")
def _dim(x: Complex) -> int:
    return x.ndim


@function("numel")
def _numel(x: Complex) -> int:
    return x.shape.numel()


@function("is_complex")
def _is_complex(x: Complex) -> bool:
    return True


def complex_pairs(x: Tensor) -> Complex:
    """torch.view_as_complex: (..., 2)."""
    return Complex(Pairs(x))
