"""torch.fft of the tensors of a module that is traced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from smalti.export.complex_forms import Form, Pairs
from smalti.export.complex_number import Complex, function, pairs_of
from smalti.export.complex_spectra import RealSpectrum, Spectrum
from smalti.export.fourier import real_signal
from smalti.export.functions import ConversionError

_FORWARD = {None: 0.0, "backward": 0.0, "ortho": -0.5, "forward": -1.0}  # powers of n
_INVERSE = {None: -1.0, "backward": -1.0, "ortho": -0.5, "forward": 0.0}


def _scale(n: int, norm: str | None, sign: int) -> float:
    return float(n ** (_FORWARD if sign < 0 else _INVERSE)[norm])


def _single(x: Tensor) -> Tensor:
    if x.dtype != torch.float32:
        raise ConversionError(f"a transform of {x.dtype}; take .float() of it")
    return x


def _form(x: Any) -> Form:
    return x.form if isinstance(x, Complex) else Pairs(pairs_of(_single(x)))


def _fixed(n: Any) -> int:
    if not isinstance(n, int):
        raise ConversionError("a transform of any length; let dynamic_shapes leave that axis fixed")
    return n


def _axes(x: Any, dims: Sequence[int] | None, sizes: Sequence[int] | None) -> list[int]:
    if dims is None:
        dims = range(x.ndim) if sizes is None else range(x.ndim - len(sizes), x.ndim)
    return [d % x.ndim for d in dims]


def rfft(x: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Complex:
    """torch.fft.rfft."""
    if isinstance(x, Complex):
        raise ConversionError("rfft of complex numbers; use torch.fft.fft")
    axis = dim % x.ndim
    length = _fixed(x.shape[axis] if n is None else n)
    kept = (0, length // 2 + 1)
    return Complex(RealSpectrum(_single(x), axis, length, kept, _scale(length, norm, -1)))


def _complex(form: Form, axis: int, n: int, norm: str | None, sign: int) -> Form:
    return Spectrum(form, axis, _fixed(n), (0, n), _scale(n, norm, sign), sign)


@function("fft")
def fft(x: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Complex:
    """torch.fft.fft."""
    axis = dim % x.ndim
    return Complex(_complex(_form(x), axis, x.shape[axis] if n is None else n, norm, -1))


@function("ifft")
def ifft(x: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Complex:
    """torch.fft.ifft."""
    axis = dim % x.ndim
    return Complex(_complex(_form(x), axis, x.shape[axis] if n is None else n, norm, 1))


@function("irfft")
def irfft(x: Any, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """torch.fft.irfft."""
    axis = dim % x.ndim
    length = _fixed(2 * (x.shape[axis] - 1) if n is None else n)
    return real_signal(_form(x), axis, length, _scale(length, norm, 1))


def rfftn(
    x: Tensor,
    s: Sequence[int] | None = None,
    dim: Sequence[int] | None = None,
    norm: str | None = None,
) -> Complex:
    """torch.fft.rfftn: the last axis by rfft, the others by fft."""
    *others, last = _axes(x, dim, s)
    sizes = [x.shape[a] for a in (*others, last)] if s is None else s
    form = rfft(x, sizes[-1], last, norm).form
    for axis, size in zip(others, sizes[:-1], strict=True):
        form = _complex(form, axis, size, norm, -1)
    return Complex(form)


@function("irfftn")
def irfftn(
    x: Any,
    s: Sequence[int] | None = None,
    dim: Sequence[int] | None = None,
    norm: str | None = None,
) -> Tensor:
    """torch.fft.irfftn: the last axis by irfft, the others by ifft."""
    *others, last = _axes(x, dim, s)
    sizes = [x.shape[a] for a in others] if s is None else list(s[:-1])
    form = _form(x)
    for axis, size in zip(others, sizes, strict=True):
        form = _complex(form, axis, size, norm, 1)
    return irfft(Complex(form), None if s is None else s[-1], last, norm)


def rfft2(
    x: Tensor,
    s: Sequence[int] | None = None,
    dim: Sequence[int] = (-2, -1),
    norm: str | None = None,
) -> Complex:
    """torch.fft.rfft2."""
    return rfftn(x, s, dim, norm)


@function("irfft2")
def irfft2(
    x: Any,
    s: Sequence[int] | None = None,
    dim: Sequence[int] = (-2, -1),
    norm: str | None = None,
) -> Tensor:
    """torch.fft.irfft2."""
    return irfftn(x, s, dim, norm)


@function("fftn")
def fftn(
    x: Any,
    s: Sequence[int] | None = None,
    dim: Sequence[int] | None = None,
    norm: str | None = None,
) -> Complex:
    """torch.fft.fftn."""
    form = _form(x)
    for i, axis in enumerate(_axes(x, dim, s)):
        form = _complex(form, axis, x.shape[axis] if s is None else s[i], norm, -1)
    return Complex(form)


@function("fft2")
def fft2(
    x: Any,
    s: Sequence[int] | None = None,
    dim: Sequence[int] = (-2, -1),
    norm: str | None = None,
) -> Complex:
    """torch.fft.fft2."""
    return fftn(x, s, dim, norm)
