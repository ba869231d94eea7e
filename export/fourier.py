"""Fourier transforms at a known length: products with a basis, or our operators.

A product with a basis of n by m bins takes 2 n m multiplications and as many floats in the file.
Up to BASIS of them it is quicker than the transform and its call; longer ones are operators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from smalti.export.complex_forms import Form, Range, Ranges, cut_tensor
from smalti.runtime.ops.irfft.op import irfft
from smalti.runtime.ops.rfft.op import rfft

BASIS = 1 << 15  # floats; see benchmarks/interpolation/fourier.py

Array = NDArray[np.float64]


def _turns(rows: Array, columns: Array, n: int, sign: int) -> Array:
    """exp(sign 2 pi i j k / n) as (rows, columns, 2); products modulo n keep angles exact."""
    angle = 2 * np.pi / n * (np.outer(rows, columns) % n)
    return np.stack([np.cos(angle), sign * np.sin(angle)], -1)


def _constant(array: Array) -> Tensor:
    return torch.tensor(array.astype(np.float32).tolist())


def _resized(x: Tensor, n: int) -> Tensor:
    """Cut the last axis, or fill it up with zeros, to length n."""
    missing = n - x.shape[-1]
    if missing > 0:
        return functional.pad(x, (0, missing))
    return x[..., :n] if missing else x


def real_bins(x: Tensor, axis: int, n: int, kept: Range, scale: float) -> Tensor:
    """Return the kept bins, times `scale`, of real x filled up to length n: pairs."""
    x, (first, last) = _resized(x.movedim(axis, -1), n), kept
    if 2 * n * (last - first) <= BASIS:
        basis = scale * _turns(np.arange(first, last), np.arange(n), n, -1)
        found = functional.linear(x, _constant(basis.transpose(0, 2, 1).reshape(-1, n)))
        found = found.unflatten(-1, (last - first, 2))
    else:
        found = rfft.call(x, last)
        found = found[..., first:, :] if first else found
        found = found if scale == 1 else found * scale
    return found.movedim(-2, axis)


def _indices(ranges: Ranges) -> Array:
    return np.concatenate([np.arange(*r) for r in ranges] or [np.zeros(0)])


def real_signal(form: Form, axis: int, n: int, scale: float) -> Tensor:
    """Return n times `scale` times the inverse transform of bins of a real signal of length n."""
    bins = n // 2 + 1
    ranges = [(0, size) for size in form.shape]
    ranges[axis] = (0, min(bins, form.shape[axis]))
    form = form.cut(ranges)
    at = _indices(form.support(axis))
    if 2 * n * len(at) > BASIS:
        pairs = form.pairs().movedim(axis, -2)
        missing = bins - pairs.shape[-2]
        pairs = functional.pad(pairs, (0, 0, 0, missing)) if missing else pairs
        found = irfft.call(pairs, n)
        found = found if scale * n == 1 else found * (scale * n)
        return found.movedim(-1, axis)
    pairs = form.packed(axis).pairs().movedim(axis, -2)
    basis = scale * _turns(np.arange(n), at, n, 1)
    basis *= np.where((at == 0) | (2 * at == n), 1, 2)[:, None]
    basis[..., 1] *= np.where((at == 0) | (2 * at == n), 0, -1)
    found = functional.linear(pairs.flatten(-2), _constant(basis.reshape(n, -1)))
    return found.movedim(-1, axis)


@dataclass(frozen=True)
class RealSpectrum:
    """The kept bins of a real tensor's transform along an axis."""

    x: Tensor
    axis: int
    n: int
    kept: Range
    scale: float

    @property
    def shape(self) -> Sequence[int]:
        """Of the kept bins."""
        first, last = self.kept
        return [last - first if i == self.axis else s for i, s in enumerate(self.x.shape)]

    def pairs(self) -> Tensor:
        """Compute them."""
        return real_bins(self.x, self.axis, self.n, self.kept, self.scale)

    def cut(self, ranges: Ranges) -> Form:
        """Keep fewer."""
        start, stop = ranges[self.axis]
        others = list(ranges)
        others[self.axis] = (0, self.x.shape[self.axis])
        kept = (self.kept[0] + start, self.kept[0] + stop)
        return replace(self, x=cut_tensor(self.x, others), kept=kept)

    def support(self, axis: int) -> Ranges:
        """Return all."""
        return [(0, self.shape[axis])]

    def packed(self, axis: int) -> Form:
        """Return all."""
        return self


@dataclass(frozen=True)
class Spectrum:
    """The kept bins of a complex tensor's transform along an axis; sign 1: the inverse."""

    source: Form
    axis: int
    n: int
    kept: Range
    scale: float
    sign: int

    @property
    def shape(self) -> Sequence[int]:
        """Of the kept bins."""
        first, last = self.kept
        return [last - first if i == self.axis else s for i, s in enumerate(self.source.shape)]

    def pairs(self) -> Tensor:
        """Multiply by a basis: ((re, im), bin) = ((cos, -sin), (sin, cos)) of the angles."""
        ranges = [(0, size) for size in self.source.shape]
        ranges[self.axis] = (0, min(self.n, ranges[self.axis][1]))
        source = self.source.cut(ranges)
        at = _indices(source.support(self.axis))
        turns = self.scale * _turns(np.arange(*self.kept), at, self.n, self.sign)
        real, imaginary = turns[..., 0], turns[..., 1]
        basis = np.stack(
            [np.stack([real, -imaginary], -1), np.stack([imaginary, real], -1)], 1
        ).reshape(2 * len(real), -1)
        given = source.packed(self.axis).pairs().movedim(self.axis, -2).flatten(-2)
        found = functional.linear(given, _constant(basis)).unflatten(-1, (len(real), 2))
        return found.movedim(-2, self.axis)

    def cut(self, ranges: Ranges) -> Form:
        """Keep fewer."""
        start, stop = ranges[self.axis]
        others = list(ranges)
        others[self.axis] = (0, self.source.shape[self.axis])
        kept = (self.kept[0] + start, self.kept[0] + stop)
        return replace(self, source=self.source.cut(others), kept=kept)

    def support(self, axis: int) -> Ranges:
        """Return what is not zero along other axes: a transform fills its own."""
        return [(0, self.shape[axis])] if axis == self.axis else self.source.support(axis)

    def packed(self, axis: int) -> Form:
        """Leave the zeros of another axis out."""
        return self if axis == self.axis else replace(self, source=self.source.packed(axis))
