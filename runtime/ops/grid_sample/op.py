"""GridSample: an image's values at given points."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from smalti.runtime.ops.torch_op import torch_op

_MODES = ("bilinear", "nearest", "bicubic")
_PADDING_MODES = ("zeros", "border", "reflection")


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (*a["x"].shape[:2], *a["grid"].shape[1:-1])


@torch_op("GridSample", _shape)
def grid_sample(
    x: Tensor, grid: Tensor, mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """Sample x (N, C, H, W) at grid (N, H', W', 2), or (N, C, D, H, W) at (N, D', H', W', 3).

    grid: (x, y) or (x, y, z), where -1 and 1 are the image's edges, or with align_corners the
    centers of its outermost pixels. mode: 0 linear, 1 nearest (after padding, ties to even),
    2 cubic (a = -0.75, images only). padding_mode: 0 zeros, 1 border, 2 reflection.

    As ONNX GridSample, but a point with a NaN coordinate gives NaN whatever the padding, where
    engines give some pixel. Coordinates beyond 2^30 pixels, infinite ones too, count as 2^30.
    """
    y = F.grid_sample(x, grid, _MODES[mode], _PADDING_MODES[padding_mode], align_corners)
    return y.masked_fill(grid.isnan().any(-1).unsqueeze(1), float("nan"))
