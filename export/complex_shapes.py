"""Torch's functions that move the numbers of complex tensors about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from smalti.export.complex_forms import Canvas, Patch, canvas, whole
from smalti.export.complex_index import part
from smalti.export.complex_number import Complex, function, of_pairs, pairs_of
from smalti.export.functions import ConversionError


def _listed(sizes: tuple[Any, ...]) -> list[int]:
    """Torch takes sizes one by one, or as one sequence."""
    return list(sizes[0]) if len(sizes) == 1 and isinstance(sizes[0], list | tuple) else list(sizes)


@function("permute")
def _permute(x: Complex, *dims: Any) -> Complex:
    axes = [a % x.ndim for a in _listed(dims)]
    return of_pairs(x.pairs.permute(*axes, x.ndim))


@function("reshape", "view")
def _reshape(x: Complex, *shape: Any) -> Complex:
    return of_pairs(x.pairs.reshape(*_listed(shape), 2))


@function("expand")
def _expand(x: Complex, *sizes: Any) -> Complex:
    return of_pairs(x.pairs.expand(*_listed(sizes), 2))


@function("repeat")
def _repeat(x: Complex, *sizes: Any) -> Complex:
    return of_pairs(x.pairs.repeat(*_listed(sizes), 1))


@function("unsqueeze")
def _unsqueeze(x: Complex, dim: int) -> Complex:
    return of_pairs(x.pairs.unsqueeze(dim % (x.ndim + 1)))


@function("squeeze")
def _squeeze(x: Complex, dim: int) -> Complex:
    return of_pairs(x.pairs.squeeze(dim % x.ndim))


@function("flatten")
def _flatten(x: Complex, start_dim: int = 0, end_dim: int = -1) -> Complex:
    return of_pairs(x.pairs.flatten(start_dim % x.ndim, end_dim % x.ndim))


@function("unflatten")
def _unflatten(x: Complex, dim: int, sizes: Sequence[int]) -> Complex:
    return of_pairs(x.pairs.unflatten(dim % x.ndim, sizes))


@function("flip")
def _flip(x: Complex, *dims: Any) -> Complex:
    return of_pairs(x.pairs.flip([a % x.ndim for a in _listed(dims)]))


@function("roll")
def _roll(x: Complex, shifts: Any, dims: Any) -> Complex:
    axes = [dims] if isinstance(dims, int) else dims
    return of_pairs(x.pairs.roll(shifts, [a % x.ndim for a in axes]))


@function("t", "T", "mT")
def _t(x: Complex) -> Complex:
    return of_pairs(x.pairs.transpose(-3, -2))


def _by_axes(name: str) -> Callable[..., Complex]:
    """A method of tensors whose two arguments are axes."""

    def call(x: Complex, a: Any, b: Any) -> Complex:
        axes = [n % x.ndim if isinstance(n, int) else [i % x.ndim for i in n] for n in (a, b)]
        moved: Tensor = getattr(torch.Tensor, name)(x.pairs, *axes)
        return of_pairs(moved)

    return call


for _name in ("transpose", "swapaxes", "swapdims", "movedim", "moveaxis"):
    function(_name)(_by_axes(_name))


@function("narrow")
def _narrow(x: Complex, dim: int, start: int, length: int) -> Complex:
    index = [slice(None)] * x.ndim
    index[dim % x.ndim] = slice(start, start + length)
    return part(x, tuple(index))


@function("select")
def _select(x: Complex, dim: int, index: int) -> Complex:
    return of_pairs(x.pairs.select(dim % x.ndim, index))


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
def _cat(tensors: Sequence[Any], dim: int = 0) -> Complex:
    """Zeros stay a canvas."""
    parts = [t if isinstance(t, Complex) else of_pairs(pairs_of(t)) for t in tensors]
    axis = dim % parts[0].ndim
    if not any(isinstance(t.form, Canvas) for t in parts):
        return of_pairs(torch.cat([t.pairs for t in parts], axis))
    sizes, patches = list(parts[0].shape), []
    sizes[axis] = 0
    for form in (t.form for t in parts):
        inside = form.patches if isinstance(form, Canvas) else [Patch(whole(form.shape), form)]
        patches += [patch.shifted(axis, sizes[axis]) for patch in inside]
        sizes[axis] += form.shape[axis]
    return Complex(Canvas(sizes, patches))


@function("stack")
def _stack(tensors: Sequence[Any], dim: int = 0) -> Complex:
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
