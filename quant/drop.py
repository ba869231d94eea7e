"""How far a module's outputs are from another's, in the units of the predicted loss."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from smalti.quant.modes import evaluating
from smalti.quant.observe import Batch, tensors


def distance(outputs: Tensor, expected: Tensor, loss: str) -> Tensor:
    """Loss of every sample, (samples,).

    values: 1/2 ||f - f'||^2, which for vectors of length 1 is 1 - cosine; logits: the
    Kullback-Leibler divergence of the softmax along the last axis, from `expected`.
    """
    if loss == "values":
        return 0.5 * (outputs - expected).square().flatten(1).sum(1)
    p, q = expected.log_softmax(-1), outputs.log_softmax(-1)
    return (p.exp() * (p - q)).flatten(1).sum(1)


def measured_drop(
    module: nn.Module, reference: nn.Module, batches: Iterable[Batch], loss: str
) -> float:
    """Mean loss of a module's outputs against the reference's."""
    total, samples = 0.0, 0
    with evaluating(module), evaluating(reference), torch.no_grad():
        for batch in batches:
            pairs = zip(tensors(module(*batch)), tensors(reference(*batch)), strict=True)
            total += float(sum(distance(a, b, loss).sum() for a, b in pairs))
            samples += len(batch[0])
    return total / max(samples, 1)
