"""Modules with complex numbers, traced as if they had been written in reals.

No engine computes with complex numbers, and Torch's exporters refuse most of what modules do with
them. While `in_reals` lasts, complex tensors are `Complex`, which Torch's functions take for
tensors, and complex parameters are pairs of reals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import smalti.export.complex_functions
import smalti.export.complex_shapes  # noqa: F401 (they register what they have)
from smalti.export import complex_fft
from smalti.export.complex_forms import Canvas
from smalti.export.complex_number import Complex, of_pairs, pairs_of
from smalti.export.functions import Checked, ConversionError


@contextmanager
def in_reals(module: nn.Module, args: Sequence[Any]) -> Iterator[None]:
    """Let complex numbers be pairs of reals in whatever traces the module.

    Raises:
        ConversionError: an operation on complex numbers that has no form in reals, or complex
            inputs or outputs. The message names the layer.
    """
    if any(isinstance(a, Tensor) and a.dtype.is_complex for a in tree_leaves(args)):
        raise ConversionError("an input is complex; take pairs, and join them by view_as_complex")
    with ExitStack() as stack:
        for layer in module.modules():
            stack.enter_context(_pairs_in(layer))
        check = module.register_forward_hook(_check_outputs)
        stack.callback(check.remove)
        stack.enter_context(_Reals(module))
        yield


def _check_outputs(module: nn.Module, args: Any, outputs: Any) -> None:
    if any(isinstance(leaf, Complex) for leaf in tree_leaves(outputs)):
        raise ConversionError("an output is complex; return torch.view_as_real of it")


@contextmanager
def _pairs_in(layer: nn.Module) -> Iterator[None]:
    """Keep a layer's complex tensors as pairs; reading one still gives a complex number."""
    kept: list[tuple[dict[str, Any], str, Any]] = []
    for store in (layer._parameters, layer._buffers, vars(layer)):
        for name, value in store.items():
            if isinstance(value, Tensor) and value.dtype.is_complex:
                kept.append((store, name, value))
    if not kept:
        yield
        return
    kind = type(layer)
    held = {name: _reader(name) for store, name, _ in kept if store is not vars(layer)}
    for store, name, value in kept:
        pairs: Any = torch.view_as_real(value.detach().resolve_conj()).float()
        if store is layer._parameters:
            pairs = nn.Parameter(pairs, requires_grad=False)
        read: Any = of_pairs(pairs) if store is vars(layer) else pairs
        store[name] = read
    same = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    layer.__class__ = type(kind.__name__, (kind,), held | same)
    try:
        yield
    finally:
        layer.__class__ = kind
        for store, name, value in kept:
            store[name] = value


def _reader(name: str) -> property:
    def read(layer: nn.Module) -> Complex:
        held: Any = layer._parameters if name in layer._parameters else layer._buffers
        return of_pairs(held[name])

    return property(read)


class _Reals(Checked):
    """Calls our functions where a complex tensor goes in or would come out."""

    def call(self, func: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Replace a call, or let it through."""
        if func in _MAKERS:
            return _MAKERS[func](*args, **kwargs)
        if any(isinstance(v, Complex | complex) for v in tree_leaves((args, kwargs))):
            return Complex.__torch_function__(func, types, args, kwargs)
        if func is _CFLOAT or _names_complex((args, kwargs)):
            return _converted(func, args, kwargs)
        found = func(*args, **kwargs)
        if isinstance(found, Tensor) and found.dtype.is_complex:
            raise ConversionError(
                f"{func.__name__} makes complex numbers; make their real and imaginary parts, "
                "and join them by torch.complex"
            )
        return found


_CFLOAT: Any = getattr(Tensor, "cfloat")  # noqa: B009 (Torch does not declare it)


def _names_complex(values: Any) -> bool:
    return any(isinstance(v, torch.dtype) and v.is_complex for v in tree_leaves(values))


def _converted(func: Any, args: Sequence[Any], given: Mapping[str, Any]) -> Complex:
    """Real numbers made complex, or zeros, for which whatever is uninitialized counts."""
    if func in (_CFLOAT, Tensor.to, Tensor.type):
        return of_pairs(pairs_of(args[0]))
    if func not in (torch.zeros, torch.empty, Tensor.new_zeros, Tensor.new_empty, torch.zeros_like):
        raise ConversionError(f"{func.__name__} of complex numbers; start from torch.zeros")
    sizes = [a for a in args if not isinstance(a, Tensor | torch.dtype)] or [given.get("size")]
    if func is torch.zeros_like:
        sizes = [args[0].shape]
    return Complex(Canvas(list(sizes[0]) if isinstance(sizes[0], list | tuple) else sizes, []))


def _join(real: Tensor, imag: Tensor) -> Complex:
    return of_pairs(torch.stack(torch.broadcast_tensors(real, imag), -1))


def _polar(abs: Tensor, angle: Tensor) -> Complex:
    return _join(abs * angle.cos(), abs * angle.sin())


_MAKERS: dict[Any, Callable[..., Any]] = {
    torch.view_as_complex: of_pairs,
    torch.complex: _join,
    torch.polar: _polar,
    torch.fft.rfft: complex_fft.rfft,
    torch.fft.rfft2: complex_fft.rfft2,
    torch.fft.rfftn: complex_fft.rfftn,
    torch.fft.fft: complex_fft.fft,
    torch.fft.ifft: complex_fft.ifft,
    torch.fft.fft2: complex_fft.fft2,
    torch.fft.fftn: complex_fft.fftn,
    torch.fft.irfft: complex_fft.irfft,
}
