"""A layer's Hessian in the basis of its stored weight, ready for rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from smalti.quant.hessian import Hessian
from smalti.runtime.ops.hadamard_transform.op import hadamard_transform

DAMPING = 0.1  # of the mean of the diagonal; a tenth keeps feedback from fitting the sample


@dataclass(frozen=True)
class Curvature:
    """Loss of an error E: tr(E H_I E^T H_O) / 2, in the units of the model's loss.

    inputs: H_I (n, n), centred where the bias adapts; outputs: H_O (m, m), None for the identity;
    centre: (n,), the mean input.
    """

    inputs: Tensor
    outputs: Tensor | None
    centre: Tensor

    @classmethod
    def of(cls, hessian: Hessian, adapts_bias: bool) -> Curvature:
        """Scale a layer's Hessian: the inputs' side per sample, the outputs' to trace 1."""
        outputs = hessian.outputs
        if outputs is not None:
            outputs = outputs / outputs.trace().clamp(min=1e-30)
        inputs = hessian.centred() if adapts_bias else hessian.inputs[:-1, :-1]
        return cls(inputs / max(hessian.samples, 1), outputs, hessian.centre)

    def one_sided(self) -> Curvature:
        """The same, rows taken to be independent and equal."""
        return replace(self, outputs=None)

    def rotated(self, block: int, seed: int) -> Curvature:
        """The same of a weight whose rows were rotated: H_I -> R H_I R^T."""
        turned = hadamard_transform.reference(self.inputs, block, seed)
        inputs = hadamard_transform.reference(turned.T.contiguous(), block, seed)
        return Curvature(
            inputs, self.outputs, hadamard_transform.reference(self.centre, block, seed)
        )

    def loss(self, error: Tensor) -> float:
        """Predicted loss of an error (m, n)."""
        seen = error @ self.inputs
        if self.outputs is not None:
            seen = self.outputs @ seen
        return 0.5 * float((seen * error).sum())


def damped(matrix: Tensor, damping: float = DAMPING) -> Tensor:
    """Add a part of the diagonal's mean to a Hessian, so that unseen directions count."""
    mean = float(matrix.diagonal().mean())
    return matrix + (damping * mean or 1.0) * torch.eye(len(matrix), dtype=matrix.dtype)
