"""Calls that mean one thing in Torch and another in an engine: refused, or written otherwise.

Of all modes, sizes and corners these are the ones; tests/export/test_conventions.py tries them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from smalti.export.functions import ConversionError, Interpolation, Replacement, sampled

OURS = ("GridSample", "Resize")  # operators that may stand in for ONNX Runtime's own


def onnx_functions(native: Sequence[str]) -> dict[Any, Replacement]:
    """Return the functions of Torch that are checked, or are ours by choice, in an `.onnx` file."""
    table: dict[Any, Replacement] = {
        functional.interpolate: partial(_onnx_interpolate, "Resize" in native)
    }
    return table | ({functional.grid_sample: sampled} if "GridSample" in native else {})


def _onnx_interpolate(ours: bool, *args: Any, **kwargs: Any) -> Tensor | None:
    """Let through what ONNX Runtime's Resize does as Torch does, or call ours.

    Raises:
        ConversionError: antialiasing with aligned corners, whose filters differ.
    """
    call = Interpolation(*args, **kwargs)
    if call.antialias and call.align_corners:
        raise ConversionError(
            f"interpolate: {call.mode} with antialias=True and align_corners=True, which ONNX "
            "Runtime computes otherwise; use align_corners=False"
        )
    known = call.mode in ("bilinear", "bicubic") and not call.antialias
    return call.resized() if ours and known and call.by_sizes else None


def _tflite_interpolate(*args: Any, **kwargs: Any) -> Tensor | None:
    """Let through what LiteRT does as Torch does; cubic convolution is ours, as it has none.

    Raises:
        ConversionError: antialiasing, or coordinates that no operator of LiteRT has.
    """
    call = Interpolation(*args, **kwargs)
    if call.antialias:
        raise ConversionError(
            f"interpolate: {call.mode} with antialias, for which LiteRT has no operator; use "
            "antialias=False, or shrink by avg_pool2d"
        )
    if call.mode in ("bilinear", "bicubic"):
        call.check_by_sizes()
        return call.resized() if call.mode == "bicubic" else None
    if call.mode == "nearest" and call.axes == 2 and not _whole_factors(call):
        return _nearest(call)
    return None


TFLITE_FUNCTIONS: Mapping[Any, Replacement] = {
    functional.grid_sample: sampled,
    functional.interpolate: _tflite_interpolate,
}


def _whole_factors(call: Interpolation) -> bool:
    """Whether pixels repeat evenly; else LiteRT takes the one under the new one's center."""
    pairs = zip(call.sizes, call.input.shape[2:], strict=True)
    return all(to % size == 0 for to, size in pairs)


def _nearest(call: Interpolation) -> Tensor:
    """Pick the pixels under the new ones' upper left corners, as Torch does."""
    y = call.input
    for axis, to in enumerate(call.sizes):
        size = int(call.input.shape[2 + axis])
        factor = call.factors[axis] if call.factors else None
        scale = np.float32(1 / factor) if factor else np.float32(size) / np.float32(to)
        picked = np.floor(np.arange(to, dtype=np.float32) * scale).clip(max=size - 1)
        y = y.index_select(2 + axis, torch.tensor(picked.astype(np.int64).tolist()))
    return y
