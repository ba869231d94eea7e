"""Linear interpolation between a fixed number of knots, as a product with a constant matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_MOST_KNOTS = 64  # a product multiplies every value with all knots, the engine only with two
_MOST = 1 << 15  # numbers of a matrix, all of them in the file
_TYPES: dict[torch.dtype, Any] = {torch.float32: np.float32, torch.float64: np.float64}


class KnotMatrices(TorchFunctionMode):
    """Inside this mode, `interpolate` of one axis (N, C, L) is one matrix product.

    Engines lack it for one axis, and would gather and mix in a dozen nodes. Only where the length
    is fixed; as in N-HiTS (Challu et al. 2023, section 3.3).
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Replace a call, or let it through."""
        given = kwargs or {}
        if func is functional.interpolate:
            found = _interpolated(*args, **given)
            if found is not None:
                return found
        return func(*args, **given)


def _interpolated(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor | None:
    """As Torch's; None where a matrix is not possible, or too large."""
    knots, kind = input.shape[-1], _TYPES.get(input.dtype)
    if mode != "linear" or input.dim() != 3 or not isinstance(knots, int) or kind is None:
        return None
    factor = _only(scale_factor)
    count = int(knots * factor) if size is None else _only(size)
    if not isinstance(count, int) or knots > _MOST_KNOTS or not 0 < knots * count <= _MOST:
        return None
    given = factor is not None and not recompute_scale_factor
    step = 1 / factor if given and count != knots else knots / count  # as many: Torch copies them
    matrix = interpolation_matrix(knots, count, step, bool(align_corners))
    return functional.linear(input, torch.from_numpy(matrix.astype(kind)))


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, tuple | list) else value


def interpolation_matrix(
    knots: int, count: int, step: float, align_corners: bool
) -> NDArray[np.float64]:
    """Return (count, knots), of two weights a row at most.

    step: from one value to the next, in knots; values stand in the middle of their steps, and
    knots in the middle of theirs, unless the corners are aligned.
    """
    index = np.arange(count)
    at = (index + 0.5) * step - 0.5
    if align_corners:
        at = index * ((knots - 1) / max(count - 1, 1))
    at = at.clip(0, knots - 1)
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(knots)))
    return weights
