"""Rounds a weight by a curvature: codes with feedback, scales that fit them, codes again."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from smalti.quant.rounding.curvature import Curvature, damped
from smalti.quant.rounding.feedback import Factor, round_feedback
from smalti.quant.rounding.lookup import Lookup
from smalti.quant.rounding.scales import refit_scales

_PASSES = 2


def round_by_curvature(
    weight: Tensor, lookup: Lookup, curvature: Curvature, *, refit: bool
) -> tuple[Tensor, Lookup]:
    """Codes (m, n / p) of a weight (m, n), and the lookup with the scales they were given.

    refit: whether scales may move; where the file stores them coarsely, they may not.
    """
    p = lookup.values.shape[1]
    missing = -weight.shape[1] % p
    weight = pad(weight, (0, missing))
    inputs = damped(curvature.inputs)
    inputs = torch.block_diag(inputs, *[inputs.diagonal().mean()] * missing)
    outputs = None if curvature.outputs is None else damped(curvature.outputs)
    # Rows that matter most are rounded first, so that the others can make up for them.
    order = torch.arange(len(weight)) if outputs is None else outputs.diagonal().argsort()
    if outputs is not None:
        outputs = outputs[order][:, order]
    ordered = _take(lookup, order)
    codes, ordered = _passes(weight[order], ordered, inputs, outputs, _PASSES if refit else 1)
    back = order.argsort()
    return codes[back], _take(ordered, back)


def _passes(
    weight: Tensor, lookup: Lookup, inputs: Tensor, outputs: Tensor | None, count: int
) -> tuple[Tensor, Lookup]:
    of_inputs = Factor.of(inputs, lookup.values.shape[1])
    of_outputs = None if outputs is None else Factor.of(outputs)
    codes = round_feedback(weight, lookup, of_inputs, of_outputs)
    for _ in range(count - 1):
        lookup = refit_scales(weight, lookup, codes, inputs, outputs)
        codes = round_feedback(weight, lookup, of_inputs, of_outputs)
    return codes, refit_scales(weight, lookup, codes, inputs, outputs) if count > 1 else lookup


def _take(lookup: Lookup, rows: Tensor) -> Lookup:
    offsets = None if lookup.offsets is None else lookup.offsets[rows]
    return replace(lookup, scales=lookup.scales[rows], offsets=offsets)
