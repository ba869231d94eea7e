"""LookupActivation: any function of one number, between int8 values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smalti.runtime.ops.lookup_table.op import lookup_table

Array = NDArray[np.float64]
_LOW, _HIGH = -128, 127


class LookupActivation(nn.Module):
    """y = f(x), where x and y are rounded to 256 values each, x and y evenly spaced.

    x is quantized, looked up and dequantized: whatever f is, it costs the same, and is right to
    half a step of y for every one of the 256 values of x. What is beyond the ranges becomes their
    ends. int8 knows no NaN: do not rely on what becomes of one.
    """

    table: Tensor

    def __init__(
        self,
        function: Callable[[Array], Array],
        x_range: tuple[float, float],
        y_range: tuple[float, float] | None = None,
    ) -> None:
        """function: float64 arrays to arrays. y_range: that of f over x_range, unless given.

        Raises:
            ValueError: a range is empty, or f is not finite everywhere.
        """
        super().__init__()
        self.x_step, self.x_zero = _scale(*x_range)
        values = np.asarray(function(self.x_step * (np.arange(_LOW, _HIGH + 1) - self.x_zero)))
        if not np.isfinite(values).all():
            raise ValueError("function: not finite between the ends of x_range; narrow it")
        low, high = y_range or (values.min(), values.max())
        self.y_step, self.y_zero = _scale(low, high if high > low else low + 1.0)
        codes = np.rint(values / self.y_step) + self.y_zero
        self.register_buffer("table", torch.from_numpy(codes.clip(_LOW, _HIGH).astype(np.int8)))

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 of any shape."""
        codes = torch.round(x * (1.0 / self.x_step)) + self.x_zero
        found = lookup_table.call(codes.clamp(_LOW, _HIGH).to(torch.int8), self.table)
        return (found.to(torch.float32) - self.y_zero) * self.y_step


def _scale(low: float, high: float) -> tuple[float, float]:
    """Step and zero point, x = step (code - zero): low is code -128, high 127."""
    if not low < high:
        raise ValueError(f"range: from {low} to {high}; pass (low, high)")
    step = float(np.float32((high - low) / (_HIGH - _LOW)))
    return step, float(np.rint(_LOW - low / step))
