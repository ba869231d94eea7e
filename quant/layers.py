"""Quantized layers: drop-in replacements that run the operators' Torch references."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smalti.quant.weight import PackedWeight
from smalti.runtime.ops.hadamard_transform.op import hadamard_transform
from smalti.runtime.ops.vq_conv.op import vq_conv
from smalti.runtime.ops.vq_gather.op import vq_gather
from smalti.runtime.ops.vq_matmul.op import vq_matmul


class PackedLayer(nn.Module):
    """A packed weight as buffers; layers that share a weight share the tensors."""

    codes: Tensor
    scales: Tensor
    grid: Tensor

    def __init__(self, packed: PackedWeight) -> None:
        super().__init__()
        self.header, self.step = packed.header, packed.step
        self.register_buffer("codes", packed.codes)
        self.register_buffer("scales", packed.scales)
        self.register_buffer("grid", packed.grid)

    def extra_repr(self) -> str:
        """Show format and shape where a module is printed."""
        return f"{self.header.format}, {self.header.rows} x {self.header.columns}"


class VQLinear(PackedLayer):
    """A Linear layer with a packed weight."""

    def __init__(self, packed: PackedWeight, linear: nn.Linear, int8: bool) -> None:
        super().__init__(packed)
        self.bias, self.int8 = linear.bias, int8

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., columns) -> (..., rows)."""
        h = self.header
        rotated = hadamard_transform.call(x.to(torch.float32), h.block, h.seed)
        return vq_matmul.call(
            rotated, self.codes, self.scales, self.grid, self.bias, h.rows, self.step, self.int8
        )


class VQConv2d(PackedLayer):
    """A Conv2d layer, of one group, with a packed weight."""

    def __init__(self, packed: PackedWeight, conv: nn.Conv2d, int8: bool) -> None:
        super().__init__(packed)
        self.bias, self.int8 = conv.bias, int8
        self.kernel, self.stride = list(conv.kernel_size), list(conv.stride)
        self.dilation, self.pads = list(conv.dilation), _pads(conv)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, rows, H', W')."""
        h = self.header
        weight = (x.to(torch.float32), self.codes, self.scales, self.grid, self.bias)
        rounding = (h.rows, self.step, self.int8, h.block, h.seed)
        return vq_conv.call(*weight, *rounding, self.kernel, self.stride, self.pads, self.dilation)


def _pads(conv: nn.Conv2d) -> list[int]:
    """Top, left, bottom, right; `same` pads the smaller half in front, as Torch does."""
    if conv.padding == "valid":
        return [0, 0, 0, 0]
    if isinstance(conv.padding, str):
        total = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        return [t // 2 for t in total] + [t - t // 2 for t in total]
    return [int(p) for p in conv.padding] * 2


class VQEmbedding(PackedLayer):
    """An Embedding layer with a packed table."""

    def forward(self, indices: Tensor) -> Tensor:
        """indices: (...) -> (..., columns)."""
        h = self.header
        return vq_gather.call(
            indices.to(torch.int64),
            self.codes,
            self.scales,
            self.grid,
            h.columns,
            self.step,
            h.block,
            h.seed,
        )
