"""Torch functions that LiteRT has no operator for, as operators of our library while tracing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from smalti.runtime.errors import SmaltiError
from smalti.runtime.ops.grid_sample.op import grid_sample
from smalti.runtime.ops.irfft.op import irfft
from smalti.runtime.ops.resize.op import CUBIC, resize

_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
_PADDING = {"zeros": 0, "border": 1, "reflection": 2}


class ConversionError(SmaltiError):
    """A module that cannot become a `.tflite` file."""

    exit_code = 2


class OurOps(TorchFunctionMode):
    """Inside this mode, Torch's functions call our operators where LiteRT lacks them.

    LiteRT has next to nothing for complex numbers either. A spectrum is remembered as the pairs of
    reals that it was made of, which is what our operator reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pairs: dict[int, tuple[Tensor, Tensor]] = {}  # with what the key is the identity of

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Replace a call, or let it through."""
        given = kwargs or {}
        if func is torch.fft.irfft:
            return _irfft(self._pairs_of(args[0]), *args[1:], **given)
        replaced = _REPLACED.get(func)
        found = replaced(*args, **given) if replaced else None
        if found is None:
            found = func(*args, **given)
        if func in (torch.view_as_complex, torch.complex):
            pairs = args[0] if func is torch.view_as_complex else torch.stack(tuple(args), -1)
            self._pairs[id(found)] = found, pairs
        return found

    def _pairs_of(self, spectrum: Tensor) -> Tensor:
        if id(spectrum) not in self._pairs:
            raise ConversionError(
                "irfft of computed complex numbers; compute with real and imaginary parts, and "
                "join them by torch.complex or torch.view_as_complex right before"
            )
        return self._pairs[id(spectrum)][1]


def _grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    aligned = bool(align_corners)
    return grid_sample.call(input, grid, _MODES[mode], _PADDING[padding_mode], aligned, False)


def _interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor | None:
    if mode != "bicubic":
        return None
    if antialias:
        raise ConversionError("interpolate: bicubic with antialias; LiteRT has no operator for it")
    if size is not None:
        sizes = [size] * 2 if isinstance(size, int) else list(size)
    else:
        exact = [n * f for n, f in zip(input.shape[2:], _pair(scale_factor), strict=True)]
        sizes = [int(n) for n in exact]
        if sizes != exact and not recompute_scale_factor:
            raise ConversionError(
                f"interpolate: bicubic to {exact} pixels; give size, or recompute_scale_factor=True"
            )
    return resize.call(input, sizes, CUBIC, bool(align_corners), False)


def _pair(factor: Any) -> Sequence[float]:
    return factor if isinstance(factor, list | tuple) else (factor, factor)


def _irfft(pairs: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None) -> Tensor:
    """pairs: (..., bins, 2); cut or filled up with zeros to the bins of a signal of length n."""
    if dim not in (-1, pairs.dim() - 2) or norm not in (None, "backward"):
        raise ConversionError(f"irfft: dim={dim}, norm={norm!r}; use the last one and 'backward'")
    length = 2 * (pairs.shape[-2] - 1) if n is None else n
    bins = length // 2 + 1
    missing = bins - pairs.shape[-2]
    if missing > 0:
        return irfft.call(functional.pad(pairs, (0, 0, 0, missing)), length)
    return irfft.call(pairs[..., :bins, :] if missing else pairs, length)


_REPLACED: dict[Any, Callable[..., Tensor | None]] = {
    functional.grid_sample: _grid_sample,
    functional.interpolate: _interpolate,
}
