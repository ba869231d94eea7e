"""Codebooks learned from a weight, after GPTVQ (van Baalen et al. 2024).

One matrix shares one codebook of int8 entries, in the place of its format's fixed grid; packing and
kernels are the same. Errors count in the exact metric of the Hessian's factor (the published code
weights them by its inverse), and the codebook is updated in closed form instead of by Adam.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log2

import torch
from torch import Tensor
from torch.nn.functional import pad

from smalti.quant.grids import Grid
from smalti.quant.lloyd import to_int8, uniform
from smalti.quant.rounding.choose import round_by_curvature
from smalti.quant.rounding.curvature import Curvature, damped
from smalti.quant.rounding.feedback import Factor
from smalti.quant.rounding.lookup import Lookup
from smalti.quant.rounding.nearest import round_nearest
from smalti.quant.rounding.solve import Mirror, quadratic, update

_ITERATIONS = 20  # of EM
_ROUNDS = 2  # of codes and codebook in turns
SEEDINGS = ("fixed", "mahalanobis", "k-means++")


def bits_per_value(
    n: int, p: int, shared: int, entry_bits: int = 8, scale_bits: float = 0, group: int = 1
) -> float:
    """Codes, a codebook (n, p) for `shared` weights, and scales for `group` weights each."""
    return log2(n) / p + n * p * entry_bits / shared + scale_bits / group


@dataclass(frozen=True)
class Sample:
    """Vectors x to learn from; a codebook loses sum of mass (x - c)^T metric (x - c).

    vectors: (v, m, p), in units of their scales; mass: (v, m); metric: (v, p, p).
    """

    vectors: Tensor
    mass: Tensor
    metric: Tensor

    @classmethod
    def of(cls, weight: Tensor, lookup: Lookup, curvature: Curvature | None) -> Sample:
        """Cut a weight (m, n) into vectors; columns that fill no vector are left out."""
        p = lookup.values.shape[1]
        count = weight.shape[1] // p
        scales = lookup.spread(lookup.scales, count * p)
        units = weight[:, : count * p] / torch.where(scales == 0, 1, scales)
        mass, metric = scales[:, ::p].T.square(), torch.eye(p).expand(count, p, p)
        if curvature is not None:
            inputs, outputs = _factors(curvature, p)
            metric = inputs.blocks[:count].to(weight.dtype)
            mass = mass if outputs is None else mass * outputs.blocks.flatten().to(mass.dtype)
        return cls(units.unflatten(1, (count, p)).transpose(0, 1).contiguous(), mass, metric)

    def assign(self, values: Tensor) -> Tensor:
        """Codes (v, m) of the nearest of values (n, p), in each vector's metric."""
        codes = torch.empty(self.mass.shape, dtype=torch.int64)
        for x, metric, found in zip(self.vectors, self.metric, codes, strict=True):
            seen = metric @ values.T
            torch.argmax(x @ seen - 0.5 * (values.T * seen).sum(0), dim=1, out=found)
        return codes

    def loss(self, values: Tensor, codes: Tensor) -> float:
        """Return what values (n, p) lose with these codes."""
        error = self.vectors - values[codes]
        seen = (error @ self.metric * error).sum(-1) * self.mass
        return float(seen.sum(dtype=torch.float64))

    def centroids(self, values: Tensor, codes: Tensor) -> Tensor:
        """The best values (n, p) for these codes; entries that no vector uses stay."""
        count, n, mirror = len(codes), len(values), Mirror.of(*values.shape)
        at = (codes + n * torch.arange(count).unsqueeze(1)).flatten()
        x = torch.cat([self.vectors, torch.ones_like(self.vectors[..., :1])], dim=-1).double()
        x = (x * self.mass.unsqueeze(-1)).flatten(0, 1)
        sums = x.new_zeros(count * n, x.shape[1]).index_add(0, at, x).unflatten(0, (count, n))
        metric, signs = self.metric.double(), mirror.signs.double()
        left = torch.einsum("vk,vij->kij", sums[..., -1], metric)
        left = mirror.fold(left * signs.unsqueeze(1) * signs.unsqueeze(2))
        right = mirror.fold(torch.einsum("vki,vij->kj", sums[..., :-1], metric) * signs)
        base = values[: mirror.size].double()
        used = left.diagonal(dim1=1, dim2=2).amin(1) > 0
        base[used] = torch.linalg.solve(left[used], right[used])
        return mirror.unfold(base.abs() if mirror.size < n else base).to(values.dtype)


def learn(
    weight: Tensor, lookup: Lookup, curvature: Curvature | None, seeding: str = "fixed"
) -> Grid:
    """Fit a codebook to a weight (m, n) in units of its scales, by expectation-maximization.

    weight: rather what feedback rounds (`targets`) than the weight itself. seeding: `fixed`, from
    the lookup's values; `mahalanobis`; `k-means++`. Measured on Gaussian and Laplace weights,
    `fixed` reaches in a third of the iterations what the others do, within 1 %, or less.
    """
    sample, values = Sample.of(weight, lookup, curvature), lookup.values
    if seeding != "fixed":
        mirror = Mirror.of(*values.shape)
        points = sample.vectors.flatten(0, 1)
        points = points.abs() if mirror.size < len(values) else points
        choose = {"mahalanobis": by_mahalanobis, "k-means++": plus_plus}[seeding]
        values = mirror.unfold(choose(points, mirror.size))
    for _ in range(_ITERATIONS):
        values = sample.centroids(values, sample.assign(values))
    return to_int8(values.double().numpy())


def by_mahalanobis(points: Tensor, count: int) -> Tensor:
    """Of points (m, p), `count` at equal ranks of their Mahalanobis distance to the mean."""
    centred = points - points.mean(0)
    inverse = torch.linalg.pinv(centred.T @ centred)
    order = (centred @ inverse * centred).sum(1).argsort(stable=True)
    return points[order[torch.linspace(0, len(points) - 1, count).round().to(torch.int64)]]


def plus_plus(points: Tensor, count: int) -> Tensor:
    """Of points (m, p), `count` by k-means++: drawn by the squared distance to those before."""
    distance = torch.ones(len(points), dtype=torch.float64)
    chosen: list[int] = []
    for draw in uniform(0, count):
        ranks = distance.cumsum(0)
        chosen.append(min(int(torch.searchsorted(ranks, ranks[-1] * draw)), len(points) - 1))
        far = (points - points[chosen[-1]]).square().sum(1).double()
        distance = far if len(chosen) == 1 else torch.minimum(distance, far)
    return points[torch.tensor(chosen)]


def targets(weight: Tensor, lookup: Lookup, codes: Tensor, curvature: Curvature) -> Tensor:
    """What feedback rounded to these codes: a weight (m, n) and the errors handed on to it.

    The published method learns from these too; their law is wider than the weight's.
    """
    inputs, outputs = _factors(curvature, lookup.values.shape[1])
    whole = pad(weight, (0, len(inputs.lower) - weight.shape[1]))
    error = (whole - lookup.decode(codes)).double()
    mixed = error if outputs is None else outputs.lower.T @ error
    return (whole + mixed @ inputs.lower - error)[:, : weight.shape[1]].to(weight.dtype)


def round_learned(
    weight: Tensor, lookup: Lookup, curvature: Curvature | None
) -> tuple[Tensor, Lookup]:
    """Codes (m, n / p) of a weight (m, n) and their lookup, learned from the fixed grid in it.

    In turns: codes and scales for the codebook, the codebook for these. The best of all turns, the
    first with the fixed grid among them, by the damped loss.
    """
    sides = (None, None) if curvature is None else (curvature.inputs, curvature.outputs)
    inputs, outputs = (None if side is None else damped(side) for side in sides)

    def loss(found: tuple[Tensor, Lookup]) -> float:
        error = weight - found[1].decode(found[0])[:, : weight.shape[1]]
        return quadratic(error, inputs, outputs)

    codes, lookup = _round(weight, lookup, curvature)
    tries = [(codes, lookup)]
    seen = weight if curvature is None else targets(weight, lookup, codes, curvature)
    values = torch.from_numpy(learn(seen, lookup, curvature).values)
    lookup = replace(lookup, values=values)
    for _ in range(_ROUNDS):
        codes, lookup = _round(weight, lookup, curvature)
        lookup = update(weight, lookup, codes, inputs, outputs)
        tries.append((codes, lookup))
    return min(tries, key=loss)


def _round(weight: Tensor, lookup: Lookup, curvature: Curvature | None) -> tuple[Tensor, Lookup]:
    if curvature is not None:
        return round_by_curvature(weight, lookup, curvature, refit=True)
    return round_nearest(weight, to_int8(lookup.values.double().numpy()), lookup.width)


def _factors(curvature: Curvature, p: int) -> tuple[Factor, Factor | None]:
    """The factors that `round_by_curvature` rounds with, rows in the order of the weight."""
    inputs = damped(curvature.inputs)
    missing = -len(inputs) % p
    of_inputs = Factor.of(torch.block_diag(inputs, *[inputs.diagonal().mean()] * missing), p)
    if curvature.outputs is None:
        return of_inputs, None
    outputs = damped(curvature.outputs)
    order = curvature.outputs.diagonal().argsort()
    found, back = Factor.of(outputs[order][:, order]), order.argsort()
    return of_inputs, Factor(found.lower[back][:, back], found.blocks[back])
