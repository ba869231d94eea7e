"""BilateralSlice: every pixel's own affine change of colour, from a coarse grid."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from smalti.runtime.ops.torch_op import torch_op

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return tuple(a["image"].shape)


def luma(image: Tensor) -> Tensor:
    """Return the brightness (B, h, w) of an image (B, 3, h, w)."""
    red, green, blue = image.unbind(1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _centers(size: int, like: Tensor, align_corners: bool) -> Tensor:
    """Return where the pixels of an axis are, in the coordinates of grid_sample."""
    pixels = torch.arange(size, device=like.device).to(like.dtype)
    return 2 * pixels / max(size - 1, 1) - 1 if align_corners else (2 * pixels + 1) / size - 1


def _points(guide: Tensor, align_corners: bool) -> Tensor:
    """Return where each pixel samples the grid: (B, 1, h, w, 3)."""
    x = _centers(guide.shape[2], guide, align_corners).expand(guide.shape)
    y = _centers(guide.shape[1], guide, align_corners)[:, None].expand(guide.shape)
    return torch.stack([x, y, 2 * guide - 1], -1)[:, None]


@torch_op("BilateralSlice", _shape)
def bilateral_slice(
    grid: Tensor, image: Tensor, scales: Tensor, guide: Tensor | None, align_corners: bool
) -> Tensor:
    """Slice a bilateral grid at every pixel and apply what is found there (Gharbi et al. 2017).

    grid: (B, 12, Lz, H, W) or, for all images, (1, 12, Lz, H, W), float32 or int8: the rows of the
    matrix [A | b], one after another. image: (B, 3, h, w). scales: (2, 12), coefficient c is
    scales[0, c] * grid + scales[1, c]. guide: (B, h, w), where 0 and 1 are the ends of the grid's
    z axis; absent: the image's BT.601 luma. y: (B, 3, h, w), A rgb + b of each pixel, where A and
    b are interpolated linearly along x, y and z. align_corners: 0 and 1 are the centers of the
    outermost cells (Wang et al. 2024, "Bilateral guided radiance field processing") rather than
    the grid's edges (HDRNet). Beyond the outermost centers the grid goes on as it ends. A NaN
    guide gives NaN.

    The kernel keeps no coefficients of pixels, which are four times as large as the image; this
    reference does. Its error is below 5e-7 of the largest value.
    """
    guide = luma(image) if guide is None else guide
    # (1, 12, 1, 1, 1), without a view of symbolic sizes
    scale, offset = scales[:, None, :, None, None, None].unbind(0)
    coefficients = (grid.to(image.dtype) * scale + offset).expand(image.shape[0], -1, -1, -1, -1)
    points = _points(guide, align_corners)
    found = F.grid_sample(coefficients, points, "bilinear", "border", align_corners)
    rows = found.squeeze(2).unflatten(1, (3, 4))  # (B, 3, 4, h, w)
    y: Tensor = (rows[:, :, :3] * image[:, None]).sum(2) + rows[:, :, 3]
    return y.masked_fill(guide.isnan()[:, None], float("nan"))
