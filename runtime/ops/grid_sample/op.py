"""GridSample: an image's values at given points."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from smalti.runtime.ops.torch_op import torch_op

_MODES = ("bilinear", "nearest", "bicubic")
_PADDING_MODES = ("zeros", "border", "reflection")


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    batch, *image = a["x"].shape
    points = a["grid"].shape[1:-1]
    return (batch, *points, image[-1]) if a["channels_last"] else (batch, image[0], *points)


@torch_op("GridSample", _shape)
def grid_sample(
    x: Tensor, grid: Tensor, mode: int, padding_mode: int, align_corners: bool, channels_last: bool
) -> Tensor:
    """Sample x (N, C, H, W) at grid (N, H', W', 2), or (N, C, D, H, W) at (N, D', H', W', 3).

    channels_last: x is (N, H, W, C) or (N, D, H, W, C), and so is the result. grid: (x, y) or
    (x, y, z), where -1 and 1 are the image's edges, or with align_corners the centers of its
    outermost pixels. mode: 0 linear, 1 nearest (after padding, ties to even), 2 cubic (a = -0.75,
    images only). padding_mode: 0 zeros, 1 border, 2 reflection.

    As ONNX GridSample, but a point with a NaN coordinate gives NaN whatever the padding, where
    engines give some pixel. Coordinates beyond 2^30 pixels, infinite ones too, count as 2^30.
    """
    images = x.movedim(-1, 1) if channels_last else x
    y = F.grid_sample(images, grid, _MODES[mode], _PADDING_MODES[padding_mode], align_corners)
    y = y.masked_fill(grid.isnan().any(-1).unsqueeze(1), float("nan"))
    return y.movedim(1, -1).contiguous() if channels_last else y
