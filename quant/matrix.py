"""One weight matrix in any format, rounded to the nearest or by feedback."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smalti.quant.block import (
    BlockWeight,
    block_lookup,
    nearest_block,
    pack_block,
    unpack_block,
)
from smalti.quant.hessian import Hessian
from smalti.quant.lowrank import BranchWeight, with_branch
from smalti.quant.rounding.choose import round_by_curvature
from smalti.quant.rounding.curvature import Curvature
from smalti.quant.weight import PackedWeight, check_weight, quantize_weight, unpack_weight
from smalti.runtime.format import AnyFormat, BlockFormat, BranchFormat

AnyWeight = PackedWeight | BlockWeight | BranchWeight
ROUNDINGS = ("nearest", "ldlq", "yaqa")


@dataclass(frozen=True)
class Quantized:
    """A quantized matrix (rows, columns) and what follows from it.

    shift: (rows,), to be added to the bias: what the error does to the mean input; None without
    calibration. drop: predicted loss, in the units of the Hessian's.
    """

    weight: AnyWeight
    shift: Tensor | None
    drop: float


def quantize_matrix(
    weight: Tensor,
    form: AnyFormat,
    hessian: Hessian | None = None,
    rounding: str = "nearest",
    adapts_bias: bool = True,
    learned: bool = False,
) -> Quantized:
    """Quantize a matrix (rows, columns).

    rounding: `nearest`; `ldlq`, by the Hessian over the inputs; `yaqa`, by both sides of it.
    adapts_bias: whether the layer has, or may be given, a bias. learned: fit a codebook to this
    matrix; formats that have no grid leave it out.

    Raises:
        WeightError: the weight is empty or not finite.
        ValueError: a rounding with feedback, but no Hessian; an unknown rounding.
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding={rounding!r}; use one of {', '.join(ROUNDINGS)}")
    if hessian is None and rounding != "nearest":
        raise ValueError(f"rounding={rounding!r} needs a Hessian; collect one, or use 'nearest'")
    weight = weight.detach().to(torch.float32)
    check_weight(weight)
    if hessian is None:
        return Quantized(_pack(weight, form, None, learned), None, 0.0)
    curvature = Curvature.of(hessian, adapts_bias)
    used = {"nearest": None, "ldlq": curvature.one_sided(), "yaqa": curvature}
    packed = _pack(weight, form, used[rounding], learned)
    error = weight - unpacked(packed)
    return Quantized(packed, error @ curvature.centre, curvature.loss(error))


def _pack(weight: Tensor, form: AnyFormat, curvature: Curvature | None, learned: bool) -> AnyWeight:
    if isinstance(form, BranchFormat):
        base = _pack(weight, form.base, curvature, learned)
        assert not isinstance(base, BranchWeight)
        return with_branch(base, weight, unpacked(base), curvature, form.rank)
    if not isinstance(form, BlockFormat):
        return quantize_weight(weight, form, curvature, learned=learned)
    lookup = block_lookup(weight, form)
    if curvature is None:
        codes = nearest_block(weight, lookup)
    else:
        codes, _ = round_by_curvature(weight, lookup, curvature, refit=False)
    return pack_block(codes.to(torch.uint8), lookup, form, weight)


def unpacked(packed: AnyWeight) -> Tensor:
    """Return the weights (rows, columns) that a packed matrix stands for."""
    if isinstance(packed, BranchWeight):
        return unpacked(packed.base) + packed.b @ packed.a
    return unpack_block(packed) if isinstance(packed, BlockWeight) else unpack_weight(packed)
