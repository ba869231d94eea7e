"""Integers of few bits in groups: round to nearest, and GPTQ.

GPTQ: Frantar et al. 2022, "Accurate Post-Training Quantization for Generative Pre-trained
Transformers". A group of weights in a row shares a scale (fp16) and a zero point (as many bits as
a weight).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DAMPING = 0.01  # of the mean of the Hessian's diagonal, as in the paper
SHRINKS = torch.linspace(1.0, 0.2, 81, dtype=torch.float64)


def bits_per_weight(bits: int, group: int) -> float:
    """Return the bits of a weight with its share of scale and zero point."""
    return bits + (16 + bits) / group


def rtn(weight: Tensor, bits: int, group: int, clip: bool = False) -> Tensor:
    """Return `weight` (rows, columns) rounded to the nearest step and back, float32.

    clip: shrink the range of each group to the one of least squared error.
    """
    parts = weight.detach().double().split(group, dim=1)
    return torch.cat([Steps.fit(part, bits, clip).round(part) for part in parts], dim=1).float()


def gptq(weight: Tensor, hessian: Tensor, bits: int, group: int, clip: bool = False) -> Tensor:
    """Return `weight` (rows, columns) rounded column by column and back, float32.

    hessian: X^T X of the layer's inputs, (columns, columns), at any scale.

    The error of a column goes to those on its right that can make up for it; the range of a group
    is taken from what its weights are by then.
    """
    work, factor = weight.detach().double().clone(), inverse_factor(hessian)
    columns = weight.shape[1]
    for start in range(0, columns, group):
        part, rest = slice(start, start + group), slice(start + group, columns)
        steps = Steps.fit(work[:, part], bits, clip)
        errors = _round_columns(work[:, part], factor[part, part], steps)
        work[:, rest] -= errors @ factor[part, rest]
    return work.float()


def inverse_factor(hessian: Tensor) -> Tensor:
    """Return U (columns, columns), upper triangular, with U^T U the inverse of the damped H."""
    damped = hessian.double().clone()
    damped.diagonal().add_(DAMPING * damped.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    factor: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return factor


def _round_columns(block: Tensor, factor: Tensor, steps: Steps) -> Tensor:
    """Round `block` (rows, group) in place; return its errors in units of U's diagonal."""
    errors = torch.empty_like(block)
    for j in range(block.shape[1]):
        rounded = steps.round(block[:, j : j + 1])
        errors[:, j : j + 1] = (block[:, j : j + 1] - rounded) / factor[j, j]
        block[:, j:] -= errors[:, j : j + 1] * factor[j, j:]
        block[:, j : j + 1] = rounded
    return errors


@dataclass(frozen=True)
class Steps:
    """Where the values of one group lie: (code - zero) * scale, codes 0 to top.

    scale, zero: (rows, 1) float64; the scale is one that fp16 holds.
    """

    scale: Tensor
    zero: Tensor
    top: int

    @classmethod
    def fit(cls, group: Tensor, bits: int, clip: bool) -> Steps:
        """Return the steps from the least to the greatest of each row of `group` (rows, size)."""
        low, high = group.amin(1, keepdim=True), group.amax(1, keepdim=True)
        if not clip:
            return cls.between(low, high, bits)
        tried = [cls.between(low * s, high * s, bits) for s in SHRINKS]
        errors = [(steps.round(group) - group).square().sum(1) for steps in tried]
        best = torch.stack(errors).argmin(0)[None, :, None]
        scale, zero = (torch.stack([getattr(t, n) for t in tried]) for n in ("scale", "zero"))
        return cls(scale.gather(0, best)[0], zero.gather(0, best)[0], tried[0].top)

    @classmethod
    def between(cls, low: Tensor, high: Tensor, bits: int) -> Steps:
        """Return the steps from `low` to `high`, both (rows, 1), stretched to hold zero."""
        low, high, top = low.clamp(max=0), high.clamp(min=0), 2**bits - 1
        scale = ((high - low) / top).half().double()
        # A row of zeros, or one that fp16 rounds to zero, needs any scale but that one.
        scale = torch.where(scale > 0, scale, 1.0)
        return cls(scale, (-low / scale).round().clamp(0, top), top)

    def round(self, values: Tensor) -> Tensor:
        """Return `values` (rows, any) at their nearest steps."""
        codes = (values / self.scale + self.zero).round().clamp(0, self.top)
        return (codes - self.zero) * self.scale
