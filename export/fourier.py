"""Fourier transforms at a known length: products with a basis, or our operators.

A product takes n times as many multiplications as it has bins, a transform n log n whatever the
bins: they break even at about 32 bins for all n from 64 to 4096, on one thread. The basis is also
in the file, hence a limit to its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from smalti.export.complex_forms import Form, Pairs, Range, Ranges, cut_tensor, whole
from smalti.runtime.ops.irfft.op import irfft
from smalti.runtime.ops.rfft.op import rfft

_BINS = 32
_BASIS = 1 << 15  # floats

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def _by_basis(n: int, bins: int) -> bool:
    """Whether so many bins of a signal of length n are a product."""
    return bins <= _BINS and 2 * n * bins <= _BASIS


def _turns(rows: Indices, columns: Indices, n: int, sign: int) -> Array:
    """exp(sign 2 pi i j k / n) as (rows, columns, 2); products modulo n keep angles exact."""
    angle = 2 * np.pi / n * (np.outer(rows, columns) % n)
    return np.stack([np.cos(angle), sign * np.sin(angle)], -1)


def _constant(array: Array) -> Tensor:
    return torch.tensor(array.astype(np.float32).tolist())


def _moved(x: Tensor, axis: int, to: int) -> Tensor:
    """Return x with an axis elsewhere, x itself if it is there."""
    return x if axis % x.dim() == to % x.dim() else x.movedim(axis, to)


def _resized(x: Tensor, n: int) -> Tensor:
    """Cut the last axis, or fill it up with zeros, to length n."""
    missing = n - x.shape[-1]
    if missing > 0:
        return functional.pad(x, (0, missing))
    return x[..., :n] if missing else x


def real_bins(x: Tensor, axis: int, n: int, kept: Range, scale: float) -> Tensor:
    """Return the kept bins, times `scale`, of real x filled up to length n: pairs."""
    x, (first, last) = _resized(_moved(x, axis, -1), n), kept
    if _by_basis(n, last - first):
        basis = scale * _turns(np.arange(first, last), np.arange(n), n, -1)
        found: Tensor = functional.linear(x, _constant(basis.transpose(0, 2, 1).reshape(-1, n)))
        found = found.unflatten(-1, (last - first, 2))
    else:
        found = rfft.call(x, last)
        found = found[..., first:, :] if first else found
        found = found if scale == 1 else found * scale
    return _moved(found, -2, axis)


def _indices(ranges: Ranges) -> Indices:
    return np.concatenate([np.arange(first, last) for first, last in ranges])


def real_signal(form: Form, axis: int, n: int, scale: float) -> Tensor:
    """Return n times `scale` times the inverse transform of bins of a real signal of length n."""
    bins = n // 2 + 1
    ranges = whole(form.shape)
    ranges[axis] = (0, min(bins, form.shape[axis]))
    form = form.cut(ranges)
    at = _indices(form.support(axis))
    if not _by_basis(n, len(at)):
        pairs = _moved(form.pairs(), axis, -2)
        missing = bins - pairs.shape[-2]
        pairs = functional.pad(pairs, (0, 0, 0, missing)) if missing else pairs
        found = irfft.call(pairs, n)
        found = found if scale * n == 1 else found * (scale * n)
        return _moved(found, -1, axis)
    pairs = _moved(form.packed(axis).pairs(), axis, -2)
    basis = scale * _turns(np.arange(n), at, n, 1)
    basis *= np.where((at == 0) | (2 * at == n), 1, 2)[:, None]
    basis[..., 1] *= np.where((at == 0) | (2 * at == n), 0, -1)
    found = functional.linear(pairs.flatten(-2), _constant(basis.reshape(n, -1)))
    return _moved(found, -1, axis)


@dataclass(frozen=True, eq=False)
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
        """Compute them, once."""
        return self._computed

    @cached_property
    def _computed(self) -> Tensor:
        return real_bins(self.x, self.axis, self.n, self.kept, self.scale)

    def cut(self, ranges: Ranges) -> Form:
        """Keep fewer bins; a part along another axis is likely one of several."""
        others = whole(self.shape)
        others[self.axis] = ranges[self.axis]
        if list(ranges) != others:
            return Pairs(cut_tensor(self.pairs(), ranges))
        start, stop = ranges[self.axis]
        return replace(self, kept=(self.kept[0] + start, self.kept[0] + stop))

    def support(self, axis: int) -> Ranges:
        """Return all."""
        return [(0, self.shape[axis])]

    def packed(self, axis: int) -> Form:
        """Return all."""
        return self


@dataclass(frozen=True, eq=False)
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
        ranges = whole(self.source.shape)
        ranges[self.axis] = (0, min(self.n, ranges[self.axis][1]))
        source = self.source.cut(ranges)
        at = _indices(source.support(self.axis))
        turns = self.scale * _turns(np.arange(*self.kept), at, self.n, self.sign)
        real, imaginary = turns[..., 0], turns[..., 1]
        basis = np.stack(
            [np.stack([real, -imaginary], -1), np.stack([imaginary, real], -1)], 1
        ).reshape(2 * len(real), -1)
        given = _moved(source.packed(self.axis).pairs(), self.axis, -2).flatten(-2)
        found: Tensor = functional.linear(given, _constant(basis)).unflatten(-1, (len(real), 2))
        return _moved(found, -2, self.axis)

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
