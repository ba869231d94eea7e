"""Torch functions that LiteRT has no operator for, as operators of our library while tracing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from smalti.runtime.errors import SmaltiError
from smalti.runtime.ops.grid_sample.op import grid_sample
from smalti.runtime.ops.resize_cubic.op import resize_cubic

_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
_PADDING = {"zeros": 0, "border": 1, "reflection": 2}


class ConversionError(SmaltiError):
    """A module that cannot become a file."""

    exit_code = 2


class OurOps(TorchFunctionMode):
    """Inside this mode, Torch's functions call our operators where LiteRT lacks them."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Replace a call, or let it through."""
        given = kwargs or {}
        replaced = _REPLACED.get(func)
        found = replaced(*args, **given) if replaced else None
        return func(*args, **given) if found is None else found


def _grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    aligned = bool(align_corners)
    return grid_sample.call(input, grid, _MODES[mode], _PADDING[padding_mode], aligned)


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
    return resize_cubic.call(input, sizes, bool(align_corners))


def _pair(factor: Any) -> Sequence[float]:
    return factor if isinstance(factor, list | tuple) else (factor, factor)


_REPLACED: dict[Any, Callable[..., Tensor | None]] = {
    functional.grid_sample: _grid_sample,
    functional.interpolate: _interpolate,
}
