"""Layers with weights in block formats: drop-in replacements that run what the engine will."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from smalti.quant.block import BlockWeight
from smalti.quant.engine_ops import (
    decode_blocks,
    gather_blocks,
    look_up_blocks,
    matmul_blocks,
    matmul_nf4,
)
from smalti.runtime.format import BlockFormat


class _Block(nn.Module):
    """A packed weight as buffers; layers that share a weight share the tensors."""

    codes: Tensor
    scales: Tensor
    zero_points: Tensor | None

    def __init__(self, packed: BlockWeight) -> None:
        super().__init__()
        self.format, self.rows, self.columns = packed.format, packed.rows, packed.columns
        self.unit = packed.unit
        self.register_buffer("codes", packed.codes)
        self.register_buffer("scales", packed.scales)
        self.register_buffer("zero_points", packed.zero_points)

    def extra_repr(self) -> str:
        """Show format and shape where a module is printed."""
        return f"{self.format}, {self.rows} x {self.columns}"

    def _weight(self) -> Tensor:
        """Return the matrix (rows, columns)."""
        bits, kind = self.format.code_bits, self.format.kind
        if self.zero_points is not None:
            found = decode_blocks.call(self.codes, self.scales, self.zero_points, bits)
        else:
            found = look_up_blocks.call(self.codes, self.scales, self.unit, kind)
        return found[:, : self.columns]


class BlockLinear(_Block):
    """A Linear layer with a packed weight.

    `int8` says whether activations are rounded to int8; only integer formats can.
    """

    def __init__(self, packed: BlockWeight, linear: nn.Linear, int8: bool) -> None:
        super().__init__(packed)
        self.bias, self.int8 = linear.bias, int8 and packed.format.is_integer

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., columns) -> (..., rows)."""
        x, bits = x.to(torch.float32), self.format.code_bits
        if self.zero_points is not None:
            weight = (self.codes, self.scales, self.zero_points)
            return matmul_blocks.call(x, *weight, self.bias, self.columns, bits, self.int8)
        if self.format.kind != "nf4":
            return functional.linear(x, self._weight(), self.bias)
        missing = -self.columns % self.format.group
        padded = functional.pad(x, (0, missing)) if missing else x
        y = matmul_nf4.call(padded, self.codes, self.scales)
        return y if self.bias is None else y + self.bias


class BlockConv2d(_Block):
    """A Conv2d layer with a packed weight, which the engine decodes when it loads the file."""

    def __init__(self, packed: BlockWeight, conv: nn.Conv2d) -> None:
        super().__init__(packed)
        self.bias, self.shape = conv.bias, conv.weight.shape
        self.options: dict[str, Any] = {
            "stride": conv.stride,
            "padding": conv.padding,
            "dilation": conv.dilation,
            "groups": conv.groups,
        }

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W) -> (N, rows, H', W')."""
        x, weight = x.to(torch.float32), self._weight().reshape(self.shape)
        return functional.conv2d(x, weight, self.bias, **self.options)


class BlockEmbedding(_Block):
    """An Embedding layer with a packed table; only the rows asked for are decoded."""

    def forward(self, indices: Tensor) -> Tensor:
        """indices: (...) -> (..., columns)."""
        indices, bits = indices.to(torch.int64), self.format.code_bits
        if self.zero_points is not None:
            weight = (self.codes, self.scales, self.zero_points)
            found = gather_blocks.call(indices, *weight, bits)
        else:
            rows = (self.codes[indices], self.scales[indices])
            found = look_up_blocks.call(*rows, self.unit, self.format.kind)
        return found[..., : self.columns]


def why_not(layer: nn.Module, form: BlockFormat) -> str:
    """Return the reason why a layer cannot be stored so, or nothing."""
    if type(layer) not in (nn.Linear, nn.Conv2d, nn.Embedding):
        return f"no layer in blocks for {type(layer).__name__}"
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        return f"padding mode {layer.padding_mode}; only zeros are supported"
    if isinstance(layer, nn.Embedding) and layer.max_norm is not None:
        return "max_norm rescales rows at run time"
    weight = next(p for p in layer.parameters(recurse=False) if p.dim() >= 2).flatten(1)
    size = form.packed_bytes(*weight.shape)
    if size * 2 > weight.nbytes:
        return f"too narrow for {form}: {size} bytes packed, {weight.nbytes} in float"
    return ""


def replacement(layer: nn.Module, weight: BlockWeight, int8: bool) -> nn.Module:
    """Return the layer that computes what `layer` did, with a packed weight.

    int8: round activations to int8 where the format can. `why_not` has to have found nothing.
    """
    if isinstance(layer, nn.Linear):
        return BlockLinear(weight, layer, int8)
    if isinstance(layer, nn.Conv2d):
        return BlockConv2d(weight, layer)
    return BlockEmbedding(weight)
