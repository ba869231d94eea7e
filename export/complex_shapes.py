"""Torch's functions that move the numbers of a complex tensor about: those of its pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from smalti.export.complex_number import Complex, function, of_pairs


def _listed(sizes: tuple[Any, ...]) -> list[int]:
    """Torch takes sizes one by one, or as one sequence."""
    return list(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else list(sizes)


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


@function("t")
def _t(x: Complex) -> Complex:
    return of_pairs(x.pairs.transpose(0, 1))


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
    return x[tuple(index)]


@function("select")
def _select(x: Complex, dim: int, index: int) -> Complex:
    return of_pairs(x.pairs.select(dim % x.ndim, index))
