"""Torch functions that LiteRT has no operator for, as operators of our library while tracing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smalti.export.conventions import tflite_interpolate
from smalti.export.functions import ConversionError, Functions, sampled
from smalti.runtime.ops.irfft.op import irfft


class OurOps(Functions):
    """Inside this mode, Torch's functions call our operators where LiteRT lacks them.

    LiteRT has next to nothing for complex numbers either. A spectrum is remembered as the pairs of
    reals that it was made of, which is what our operator reads.
    """

    def __init__(self, module: nn.Module) -> None:
        table = {
            functional.grid_sample: sampled,
            functional.interpolate: tflite_interpolate,
            torch.fft.irfft: self._irfft,
        }
        super().__init__(module, table)
        self._pairs: dict[int, tuple[Tensor, Tensor]] = {}  # with what the key is the identity of

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Replace a call, or let it through."""
        found = super().__torch_function__(func, types, args, kwargs)
        if func in (torch.view_as_complex, torch.complex):
            pairs = args[0] if func is torch.view_as_complex else torch.stack(tuple(args), -1)
            self._pairs[id(found)] = found, pairs
        return found

    def _irfft(self, spectrum: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if id(spectrum) not in self._pairs:
            raise ConversionError(
                "irfft of computed complex numbers; compute with real and imaginary parts, and "
                "join them by torch.complex or torch.view_as_complex right before"
            )
        return _irfft(self._pairs[id(spectrum)][1], *args, **kwargs)


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
