"""RbfEncode: features mixed from the nearest radial basis functions."""

from typing import Any

import torch
from torch import Tensor

from smalti.runtime.ops.torch_op import torch_op

KERNELS = ("inverse_quadric", "inverse_multiquadric", "gaussian")
MOST_NEIGHBOURS = 32  # that the kernel has room for


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (a["x"].shape[0], a["features"].shape[1])


def _nearest(x: Tensor, centers: Tensor, count: int) -> Tensor:
    """Return the nearest centers of every point, (N, count), equal distances in their order."""
    axes = zip(x.unbind(1), centers.unbind(1), strict=True)
    distances = sum((a[:, None] - b).square() for a, b in axes)  # without a tensor N K d
    assert isinstance(distances, Tensor)
    numbers = torch.arange(centers.shape[0], device=x.device)
    chosen = []
    for _ in range(count):
        chosen.append(distances.argmin(1, keepdim=True))  # the first of equals, unlike topk
        distances = distances.masked_fill(numbers == chosen[-1], float("inf"))
    return torch.cat(chosen, 1)


def _squared_radius(offsets: Tensor, shapes: Tensor) -> Tensor:
    """Return o^T S o of offsets (N, k, d); shapes (N, k, s): S is s I, diag(s), or all of s."""
    axes = offsets.shape[-1]
    if shapes.shape[-1] <= axes:
        return (shapes * offsets.square()).sum(-1)
    matrices = shapes.unflatten(-1, (axes, axes))
    radius: Tensor = ((matrices * offsets[..., None, :]).sum(-1) * offsets).sum(-1)
    return radius


def _basis(r2: Tensor, kernel: int) -> Tensor:
    if kernel == 2:
        return torch.exp(-r2)
    return 1 / (1 + r2) if kernel == 0 else 1 / (1 + r2).sqrt()


@torch_op("RbfEncode", _shape)
def rbf_encode(
    x: Tensor,
    centers: Tensor,
    shapes: Tensor,
    features: Tensor,
    cell_start: Tensor,
    cell_ids: Tensor,
    kernel: int,
    neighbours: int,
    normalise: bool,
    cells: int,
) -> Tensor:
    """Sum phi(r^2) * features over the nearest centers (NeuRBF: Chen et al. 2023, section 3).

    x: (N, d), d = 1..3; points outside [0, 1]^d count as the nearest point of it. centers: (K, d),
    finite. shapes: (K, 1 | d | d * d), r^2 = o^T S o for the offset o from a center, S = s I,
    diag(s) or the whole matrix. features: (K, F). y: (N, F); a point with a NaN gives NaN.
    kernel: 0 phi = 1 / (1 + r^2), 1 (1 + r^2)^-1/2, 2 exp(-r^2). neighbours: how many centers, by
    Euclidean distance, of equal distances those with the lower numbers. normalise: phi / sum phi,
    and 0 where all are 0.

    cell_start (cells^d + 1), cell_ids: the centers that may be among the nearest of a point in
    each of the equal cells of [0, 1]^d, the last axis fastest (`buckets.build_buckets`). Only the
    kernel reads them, ids and bounds checked; this reference tries all centers, in memory N K d.
    The kernel's error is below 5e-7 of the largest value.
    """
    inside = x.clamp(0, 1)
    chosen = _nearest(inside.detach(), centers.detach(), neighbours)
    offsets = inside[:, None] - centers[chosen]
    phi = _basis(_squared_radius(offsets, shapes[chosen]), kernel)
    if normalise:
        total = phi.sum(1, keepdim=True)
        phi = phi / total.masked_fill(total == 0, 1)
    return (phi[..., None] * features[chosen]).sum(1)
