"""ResizeCubic: images at another size, by cubic convolution."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import interpolate

from smalti.runtime.ops.torch_op import torch_op


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (*a["x"].shape[:2], *a["sizes"])


@torch_op("ResizeCubic", _shape)
def resize_cubic(x: Tensor, sizes: Sequence[int], align_corners: bool) -> Tensor:
    """Resize x (N, C, H, W) to (N, C, *sizes): ONNX Resize, mode cubic, a = -0.75.

    Pixels beyond the edge repeat it; there is no antialiasing. Coordinates are half_pixel, or with
    align_corners those of that name, and follow from the sizes alone. Torch's `scale_factor` is the
    same where H and W times the factor are whole numbers, and elsewhere where Torch is told
    recompute_scale_factor=True.
    """
    return interpolate(x, tuple(sizes), mode="bicubic", align_corners=align_corners)
