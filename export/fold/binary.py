"""Convolutions of one bit that trained: their weights as packed bits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from smalti.export.fold.parts import Folded, exchange, record
from smalti.runtime.ops.binary_conv.module import BinaryConv2d, PackedBinaryConv2d

KIND = "binary convolution"


def fold_binary_(root: nn.Module, inputs: Sequence[Tensor]) -> list[Folded]:
    """Turn BinaryConv2d layers into PackedBinaryConv2d, in place."""
    parts = {n: part for n, part in root.named_modules() if isinstance(part, BinaryConv2d)}
    calls = record(root, inputs, parts.values()) if parts else {}
    return [
        exchange(root, name, KIND, part, PackedBinaryConv2d(part), calls[part])
        for name, part in parts.items()
    ]
