"""Resize: images at another size, by lines or by cubic convolution."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from smalti.runtime.ops.torch_op import torch_op

LINEAR, CUBIC = 0, 2  # as in GridSample
_MODES = {LINEAR: "bilinear", CUBIC: "bicubic"}


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    batch, *image = a["x"].shape
    return (batch, *a["sizes"], image[2]) if a["channels_last"] else (batch, image[0], *a["sizes"])


@torch_op("Resize", _shape)
def resize(
    x: Tensor, sizes: Sequence[int], mode: int, align_corners: bool, channels_last: bool
) -> Tensor:
    """Resize x (N, C, H, W) to (N, C, *sizes), or channels_last (N, H, W, C) to (N, *sizes, C).

    mode: 0 linear, 2 cubic (a = -0.75), as ONNX Resize has them. Pixels beyond the edge repeat it;
    there is no antialiasing. Coordinates are half_pixel, or with align_corners those of that name,
    and follow from the sizes alone. Torch's `scale_factor` is the same where H and W times the
    factor are whole numbers, and elsewhere where Torch is told recompute_scale_factor=True.
    """
    images = x.permute(0, 3, 1, 2) if channels_last else x
    y = interpolate(images, tuple(sizes), mode=_MODES[mode], align_corners=align_corners)
    return y.permute(0, 2, 3, 1).contiguous() if channels_last else y
