"""Fourier transforms at a known length: products with a basis, or our operators.

A product takes n times as many multiplications as it has bins, a transform n log n whatever the
bins: they break even at about 32 bins for all n from 64 to 4096, on one thread. The basis is also
in the file, hence a limit to its size.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from smalti.export.complex_forms import Form, Range, Ranges, whole
from smalti.runtime.ops.irfft.op import irfft
from smalti.runtime.ops.rfft.op import rfft

_BINS = 32
_BASIS = 1 << 15  # floats; twice as many for complex signals

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


def complex_bins(form: Form, axis: int, n: int, kept: Range, scale: float, sign: int) -> Tensor:
    """Return the kept bins, times `scale`, of complex numbers filled up to length n: pairs.

    sign: of the exponent; 1 for the inverse.
    """
    ranges = whole(form.shape)
    ranges[axis] = (0, min(n, form.shape[axis]))
    form = form.cut(ranges)
    at, (first, last) = _indices(form.support(axis)), kept
    if _by_basis(max(len(at), last - first), min(len(at), last - first)):
        basis = scale * _rotations(_turns(np.arange(first, last), at, n, sign))
        given = _moved(form.packed(axis).pairs(), axis, -2).flatten(-2)
        found: Tensor = functional.linear(given, _constant(basis)).unflatten(-1, (-1, 2))
    else:
        parts = _moved(form.pairs(), axis, -2).transpose(-1, -2)
        found = _all_bins(_resized(parts, n), sign)[..., first:last, :]
        found = found if scale == 1 else found * scale
    return _moved(found, -2, axis)


def _rotations(turns: Array) -> Array:
    """Return what multiplies pairs by turns (bins, n, 2): a matrix (2 * bins, 2 * n)."""
    real, imaginary = turns[..., 0], turns[..., 1]
    rows = np.stack([real, -imaginary], -1), np.stack([imaginary, real], -1)
    return np.stack(rows, 1).reshape(2 * len(turns), -1)


def _all_bins(x: Tensor, sign: int) -> Tensor:
    """Return (..., n, 2) of real and imaginary parts (..., 2, n), each transformed on its own.

    Bins of real signals are conjugates of those from the other end, as are those of the inverse.
    """
    n, conjugate = x.shape[-1], torch.tensor([1.0, -1.0])
    half = rfft.call(x, n // 2 + 1)
    other = half[..., 1 : (n + 1) // 2, :].flip(-2) * conjugate
    both = torch.cat([half, other], -2)
    both = both if sign < 0 else both * conjugate
    real, imaginary = both[..., 0, :, :], both[..., 1, :, :]
    turned = torch.stack([-imaginary[..., 1], imaginary[..., 0]], -1)  # times i
    return real + turned


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
