"""Which layers of a module can be quantized, and what stands for them afterwards."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from smalti.quant import block_layers
from smalti.quant.block import BlockWeight
from smalti.quant.layers import VQConv2d, VQEmbedding, VQLinear
from smalti.quant.lowrank import BranchWeight, LowRankLinear
from smalti.quant.matrix import AnyWeight
from smalti.runtime.format import AnyFormat, BlockFormat, BranchFormat


def layers_with_weights(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that own a matrix, also those that smalti cannot quantize."""
    for name, child in module.named_modules():
        if any(parameter.dim() >= 2 for parameter in child.parameters(recurse=False)):
            yield name, child


def weight_of(layer: nn.Module) -> nn.Parameter:
    """Return the parameter that is quantized."""
    return next(p for p in layer.parameters(recurse=False) if p.dim() >= 2)


def matrix_of(layer: nn.Module) -> Tensor:
    """(rows, columns): a convolution's kernels are rows."""
    return weight_of(layer).detach().flatten(1)


def kind_of(layer: nn.Module) -> str:
    """Linear, Conv2d or Embedding; empty for anything else, subclasses too."""
    exact = (nn.Linear, nn.Conv2d, nn.Embedding)
    return type(layer).__name__ if type(layer) in exact else ""


def why_not(layer: nn.Module, form: AnyFormat) -> str:
    """Return the reason why a layer cannot have a format, or nothing."""
    weight = weight_of(layer)
    if not kind_of(layer) or weight.is_complex():
        numbers = "complex numbers" if weight.is_complex() else type(layer).__name__
        return f"no quantized layer for {numbers}"
    if isinstance(form, BranchFormat):
        return _why_no_branch(layer, form)
    if isinstance(form, BlockFormat):
        return block_layers.why_not(layer, form)
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return f"a convolution of {layer.groups} groups has too few weights to gain"
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        return f"padding mode {layer.padding_mode}; only zeros are supported"
    if isinstance(layer, nn.Embedding) and layer.max_norm is not None:
        return "max_norm rescales rows at run time"
    size = form.packed_bytes(*matrix_of(layer).shape)
    if size * 3 > weight.nbytes:  # a stem of nine columns costs much and saves nothing
        return f"too narrow: {size} bytes packed, {weight.nbytes} in float"
    return ""


def _why_no_branch(layer: nn.Module, form: BranchFormat) -> str:
    if not isinstance(layer, nn.Linear):
        return f"a branch stands beside Linear layers only, not {type(layer).__name__}"
    if form.rank > min(layer.weight.shape):
        return f"rank {form.rank} is more than a weight of {tuple(layer.weight.shape)} has"
    return why_not(layer, form.base)


def replacement(layer: nn.Module, weight: AnyWeight, shift: Tensor | None, int8: bool) -> nn.Module:
    """Return the layer that computes what `layer` did, with a packed weight.

    shift: (rows,), added to the bias of a Linear or Conv2d, which gets one where it has none.
    """
    if isinstance(weight, BranchWeight):
        return LowRankLinear(replacement(layer, weight.base, shift, int8), weight.a, weight.b)
    if isinstance(weight, BlockWeight):
        found: nn.Module = block_layers.replacement(layer, weight, int8)
    elif isinstance(layer, nn.Linear):
        found = VQLinear(weight, layer, int8)
    elif isinstance(layer, nn.Conv2d):
        found = VQConv2d(weight, layer, int8)
    else:
        found = VQEmbedding(weight)
    if shift is not None and isinstance(layer, nn.Linear | nn.Conv2d):
        found.bias = nn.Parameter(shift if layer.bias is None else layer.bias.detach() + shift)
    return found
