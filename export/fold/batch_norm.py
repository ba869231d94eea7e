"""Batch norms, as part of the convolution or linear layer before them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from smalti.export.fold.parts import (
    Folded,
    kept,
    put,
    record,
    size_of,
    why_bound,
    why_not_same,
)
from smalti.runtime.ops.binary_conv.module import PackedBinaryConv2d

KIND = "batch norm"
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_PLAIN = (*_CONVS, *_TRANSPOSED, nn.Linear, PackedBinaryConv2d)
_STATISTIC = 3  # where aten.batch_norm has the running mean

aten = torch.ops.aten


def fold_batch_norms_(root: nn.Module, inputs: Sequence[Tensor]) -> list[Folded]:
    """Fold norms whose input is the output of a Conv, ConvTranspose or Linear, used nowhere else.

    An nn.Identity stays in the norm's place. The neighbours are found by `torch.export`.
    """
    norms = {name: part for name, part in root.named_modules() if type(part) in _NORMS}
    if not norms:
        return []
    before = _neighbours(root, inputs)
    found = []
    for name, norm in norms.items():
        producer = before.get(name, "no call with the example inputs reaches it, or several do")
        found.append(_folded(root, inputs, name, norm, producer))
    return found


def _neighbours(root: nn.Module, inputs: Sequence[Tensor]) -> Mapping[str, nn.Module | str]:
    """By the norm's name: the layer before it, or why there is none to fold it into."""
    try:
        program = torch.export.export(root, tuple(inputs))
    except Exception as error:  # whatever the tracer meets in the user's code
        reason = f"torch.export cannot trace the module: {type(error).__name__}"
        return {name: reason for name, _ in root.named_modules()}
    signature = program.graph_signature
    owners = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    found = {}
    for node in program.graph.nodes:
        if node.target is aten.batch_norm.default:
            statistic = node.args[_STATISTIC]
            if statistic is not None and len(statistic.users) == 1:
                norm = owners[statistic.name].rpartition(".")[0]
                found[norm] = _producer(root, node.args[0], owners)
    return found


def _producer(root: nn.Module, node: fx.Node, owners: Mapping[str, str]) -> nn.Module | str:
    weight = node.args[1] if len(node.args) > 1 else None
    if not isinstance(weight, fx.Node) or weight.name not in owners:
        return "what is before it is no convolution or linear layer"
    layer = root.get_submodule(owners[weight.name].rpartition(".")[0])
    if type(layer) not in _PLAIN:
        return f"what is before it is a {type(layer).__name__}"
    if len(node.users) > 1:
        return "what it normalizes is also used elsewhere"
    if len(weight.users) > 1:
        return "the weight of the layer before it is used several times"
    if isinstance(layer, nn.Linear) and node.meta["val"].dim() != 2:
        return "it normalizes another axis than the one that the layer before it makes"
    if isinstance(layer, _TRANSPOSED) and layer.groups > 1:
        return "the layer before it is a transposed convolution of several groups"
    return layer


def _folded(
    root: nn.Module,
    inputs: Sequence[Tensor],
    name: str,
    norm: nn.Module,
    layer: nn.Module | str,
) -> Folded:
    if isinstance(layer, str):
        return kept(name, KIND, norm, layer)
    fused = _fused(layer, norm)
    calls = record(root, inputs, (layer, norm))
    made = calls[layer]
    made[0].output = calls[norm][0].output
    error, reason = why_not_same(fused, made)
    reason = reason or why_bound(root, layer) or why_bound(root, norm)
    if reason:
        return kept(name, KIND, norm, reason)
    before = size_of(layer, norm)
    put(root, layer, fused)
    put(root, norm, nn.Identity().eval())
    return Folded(name, KIND, error, before, size_of(fused))


def _fused(layer: nn.Module, norm: nn.Module) -> nn.Module:
    """In float64, so that only the last rounding is left."""
    if isinstance(layer, PackedBinaryConv2d):
        return layer.normalized(cast(nn.BatchNorm2d, norm))
    dtype = cast(Tensor, layer.weight).dtype
    wide = copy.deepcopy(layer).double()
    statistics = cast(nn.BatchNorm2d, copy.deepcopy(norm).double())
    if isinstance(wide, nn.Linear):
        fused: nn.Module = fuse_linear_bn_eval(wide, statistics)
    else:
        fused = fuse_conv_bn_eval(
            cast(nn.Conv2d, wide), statistics, transpose=isinstance(layer, _TRANSPOSED)
        )
    return fused.to(dtype)
