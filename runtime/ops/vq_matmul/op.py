"""VQMatMul: rotated activations times packed weights."""

from typing import Any

from torch import Tensor

from smalti.runtime.ops.dequantize import dequantize, quantize_activations
from smalti.runtime.ops.torch_op import torch_op


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (*a["x"].shape[:-1], a["out_features"])


@torch_op("VQMatMul", _shape)
def vq_matmul(
    x: Tensor,
    codes: Tensor,
    scales: Tensor,
    grid: Tensor,
    bias: Tensor | None,
    out_features: int,
    step: float,
    int8: bool,
) -> Tensor:
    """y = x W^T + bias.

    x: (..., columns) rotated; codes, scales: packed W (out_features, columns); grid: (n, p) int8,
    in units of `step`; int8: round activations to int8, one scale a group of columns.
    """
    weight = dequantize(codes, scales, grid, out_features, x.shape[-1]) * step
    seen = quantize_activations(x, scales.shape[1]) if int8 else x
    y = seen @ weight.T
    return y if bias is None else y + bias
