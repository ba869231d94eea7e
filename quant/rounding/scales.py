"""The best scales for given codes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from smalti.quant.rounding.lookup import Lookup
from smalti.quant.rounding.solve import solve

_STEPS = 25


def refit_scales(
    weight: Tensor, lookup: Lookup, codes: Tensor, inputs: Tensor, outputs: Tensor | None
) -> Lookup:
    """Minimize tr(E H_I E^T H_O) over the scales, E = W - W', by conjugate gradients.

    weight: (m, n); codes: (m, n / p); inputs: H_I (n, n); outputs: H_O (m, m), or None for the
    identity. The loss is a convex quadratic; a few steps do.
    """
    zero = replace(lookup, scales=torch.ones_like(lookup.scales), offsets=None)
    unit = zero.decode(codes)
    fixed = weight - (lookup.decode(codes) - unit * lookup.spread(lookup.scales, unit.shape[1]))

    def sums(x: Tensor) -> Tensor:
        """Gradient of <x, W'> with respect to the scales: (m, n) -> (m, groups)."""
        seen = x @ inputs if outputs is None else outputs @ x @ inputs
        return _group_sums(seen * unit, lookup)

    def apply(scales: Tensor) -> Tensor:
        return sums(lookup.spread(scales, unit.shape[1]) * unit)

    diagonal = _diagonal(unit, lookup, inputs)
    if outputs is not None:
        diagonal = diagonal * outputs.diagonal().unsqueeze(1)
    residual = sums(fixed) - apply(lookup.scales)
    return replace(lookup, scales=lookup.scales + solve(apply, residual, diagonal, _STEPS))


def _group_sums(x: Tensor, lookup: Lookup) -> Tensor:
    """(m, n) -> (m, groups)."""
    groups = lookup.scales.shape[1]
    padded = torch.nn.functional.pad(x, (0, groups * lookup.width - x.shape[1]))
    found: Tensor = padded.unflatten(1, (groups, lookup.width)).sum(-1)
    return found


def _diagonal(unit: Tensor, lookup: Lookup, inputs: Tensor) -> Tensor:
    """What a scale alone adds to the loss: u H_I u^T within its group, (m, groups)."""
    starts = range(0, unit.shape[1], lookup.width)
    parts = [slice(start, start + lookup.width) for start in starts]
    return torch.stack([(unit[:, p] @ inputs[p, p] * unit[:, p]).sum(1) for p in parts], dim=1)
