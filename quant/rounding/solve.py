"""The best entries for given codes, and the solver that they share with the scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from smalti.quant.grids import is_quadrant_symmetric
from smalti.quant.lloyd import to_int8
from smalti.quant.rounding.lookup import Lookup

_STEPS = 25  # twice what the loss needs to settle to six digits


def solve(
    apply: Callable[[Tensor], Tensor], residual: Tensor, diagonal: Tensor, steps: int
) -> Tensor:
    """x with apply(x) = residual, nearly: preconditioned conjugate gradients from zero.

    apply: linear, symmetric, positive semidefinite; diagonal: about its diagonal, of the same shape
    as x. Where it is 0, x stays 0.
    """
    inverse = torch.where(diagonal > 0, 1 / diagonal.clamp(min=1e-30), 0.0)
    x, step = torch.zeros_like(residual), inverse * residual
    size = (residual * step).sum()
    for _ in range(steps):
        if size <= 0:
            break
        image = apply(step)
        curved = (step * image).sum()
        if curved <= 0:  # a direction that the loss does not see
            break
        length = size / curved
        x, residual = x + length * step, residual - length * image
        next_size = (residual * inverse * residual).sum()
        step, size = inverse * residual + next_size / size * step, next_size
    return x


@dataclass(frozen=True)
class Mirror:
    """Code c stands for `base[c % size] * signs[c]`; signs: (n, p) of 1 and -1.

    The base (size, p) is all that is free: the positive quadrant of grids that kernels mirror.
    """

    size: int
    signs: Tensor

    @classmethod
    def of(cls, n: int, p: int) -> Mirror:
        """Return what the kernels ask of codebooks (n, p)."""
        if not is_quadrant_symmetric(p, n):
            return cls(n, torch.ones(n, p))
        corners = torch.tensor([(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)])
        return cls(n // 4, corners.repeat_interleave(n // 4, dim=0))

    def unfold(self, base: Tensor) -> Tensor:
        """(size, p) -> (n, p)."""
        return base.repeat(len(self.signs) // self.size, 1) * self.signs

    def fold(self, values: Tensor) -> Tensor:
        """Sum over the mirror images, (n, ...) -> (size, ...): the adjoint but for the signs."""
        folded: Tensor = values.unflatten(0, (-1, self.size)).sum(0)
        return folded


def quadratic(error: Tensor, inputs: Tensor | None, outputs: Tensor | None) -> float:
    """tr(E H_I E^T H_O) of an error (m, n); None stands for the identity."""
    return float((_seen(error, inputs, outputs) * error).sum(dtype=torch.float64))


def _seen(error: Tensor, inputs: Tensor | None, outputs: Tensor | None) -> Tensor:
    """H_O E H_I."""
    error = error if inputs is None else error @ inputs
    return error if outputs is None else outputs @ error


def update(
    weight: Tensor, lookup: Lookup, codes: Tensor, inputs: Tensor | None, outputs: Tensor | None
) -> Lookup:
    """Minimize tr(E H_I E^T H_O) over the codebook, E = W - W', and round it to int8.

    weight: (m, n); codes: (m, n / p); inputs: H_I (n, n); outputs: H_O (m, m); None stands for the
    identity. The loss is a convex quadratic, solved by conjugate gradients; where the int8 entries
    gain nothing, the lookup comes back as it was.
    """
    padding = codes.shape[1] * lookup.values.shape[1] - weight.shape[1]
    if padding:  # columns that the loss does not see
        inputs = torch.eye(weight.shape[1]) if inputs is None else inputs
        weight, inputs = pad(weight, (0, padding)), pad(inputs, (0, padding, 0, padding))
    before = weight - lookup.decode(codes)
    values = _best_values(before, lookup, codes, inputs, outputs)
    grid = to_int8(values.double().numpy())
    found = replace(lookup, values=torch.from_numpy(grid.values))
    after = weight - found.decode(codes)
    better = quadratic(after, inputs, outputs) < quadratic(before, inputs, outputs)
    return found if better else lookup


def _best_values(
    error: Tensor, lookup: Lookup, codes: Tensor, inputs: Tensor | None, outputs: Tensor | None
) -> Tensor:
    """The codebook (n, p) that undoes most of an error (m, n), not rounded."""
    mirror = Mirror.of(*lookup.values.shape)
    signs = mirror.signs[codes].flatten(1)
    factor = lookup.spread(lookup.scales, error.shape[1]) * signs  # weight = factor * entry
    entries, base = codes % mirror.size, lookup.values[: mirror.size].to(error.dtype)

    def sums(x: Tensor) -> Tensor:
        """(m, n) -> (size, p)."""
        parts = x.reshape(-1, mirror.signs.shape[1])
        return torch.zeros_like(base).index_add(0, entries.flatten(), parts)

    def apply(base: Tensor) -> Tensor:
        return sums(factor * _seen(factor * base[entries].flatten(1), inputs, outputs))

    weights = factor.square() if inputs is None else factor.square() * inputs.diagonal()
    diagonal = sums(weights if outputs is None else weights * outputs.diagonal().unsqueeze(1))
    residual = sums(factor * _seen(error, inputs, outputs))
    while True:
        found = base + solve(apply, torch.where(diagonal > 0, residual, 0), diagonal, _STEPS)
        below = (found < 0) & (diagonal > 0)
        if mirror.size == len(lookup.values) or not below.any():
            return mirror.unfold(found)
        diagonal = torch.where(below, 0, diagonal)  # would leave the quadrant: stays where it is
