"""GridEncode: features of points, read from grids of several resolutions."""

from collections.abc import Sequence
from itertools import accumulate
from math import prod, sin
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from smalti.runtime.ops.torch_op import torch_op

INTERPOLATIONS = ("nearest", "linear", "smoothstep", "simplex")
WARPS = ("none", "sin", "arcsin")
_PRIMES = (1, 2654435761, 805459861, 3674653429)


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (a["x"].shape[0], a["levels"].shape[0] * a["features"])


@torch_op("GridEncode", _shape)
def grid_encode(
    x: Tensor,
    table: Tensor,
    levels: Tensor,
    scales: Tensor | None,
    codebook: Tensor | None,
    features: int,
    interpolation: int,
    warp: int,
    align_corners: bool,
) -> Tensor:
    """Interpolate points x (N, d) in [0, 1], d from 1 to 4, in L grids: (N, L * features).

    table: the vertices' features, of all levels: (rows, features) float32, float16 or int8, or
    uint8 codes (rows, features / p) of entries of `codebook` (256, p), p 1, 2, 4 or 8. levels:
    (L, d + 2) int64, of each level its vertices along every axis (2 to 2^22), its first row and its
    rows. scales: (L,), what a level's features are multiplied by.

    A level with a row for every vertex has them there, the first axis fastest; else vertex c has
    row (c_0 xor 2654435761 c_1 xor 805459861 c_2 xor 3674653429 c_3) mod 2^32 mod rows (Mueller
    et al. 2022, "Instant neural graphics primitives", eq. 4). Of R vertices, the first and the last
    are at 0 and 1 with `align_corners`; else they are half a cell outside.

    interpolation: 0 nearest (halves go up), 1 (multi)linear, 2 linear in t^2 (3 - 2 t), 3 simplex:
    barycentric among d + 1 vertices of a cell, by Kuhn's triangulation. warp: of coordinates,
    0 none, 1 (1 + sin(2 x - 1) / sin 1) / 2, 2 1/2 + arcsin(2 x - 1) / pi (the metrics of Wang et
    al. 2025, "MetricGrids"). Coordinates are clamped; a point with a NaN gives NaN.

    Largest error against float64, in units of the largest feature: 1e-7 R, of rounding positions.
    """
    u = _warped(x.masked_fill(x.isnan(), 0).clamp(0, 1), warp)
    sizes, first, rows = levels[:, :-2], levels[:, -2:-1], levels[:, -1:]
    span = (sizes - 1 if align_corners else sizes - 2).to(x.dtype)
    p = u.unsqueeze(1) * span + (0.0 if align_corners else 0.5)
    cell = torch.minimum(p.detach().floor().to(torch.int64), sizes - 2)
    steps, weights = _located(p - cell, interpolation)
    row = first + _row(cell.unsqueeze(2) + steps, sizes, rows)
    values = _decoded(table.index_select(0, row.flatten()), codebook).to(x.dtype)
    y = (weights.unsqueeze(-1) * values.reshape(*row.shape, features)).sum(2)
    if scales is not None:
        y = y * scales.unsqueeze(1)
    return y.flatten(1).masked_fill(x.isnan().any(1, keepdim=True), float("nan"))


def _warped(u: Tensor, warp: int) -> Tensor:
    if warp == 0:
        return u
    if warp == 1:
        return (0.5 + torch.sin(2 * u - 1) / (2 * sin(1))).clamp(0, 1)
    return (0.5 + torch.asin(2 * u - 1) / torch.pi).clamp(0, 1)


def _located(t: Tensor, interpolation: int) -> tuple[Tensor, Tensor]:
    """Of places t (N, L, d) in a cell the K vertices taken, as steps (N or 1, L or 1, K, d) from
    the cell's lowest, and their weights (N or 1, L or 1, K)."""
    if interpolation == 0:
        return (t >= 0.5).to(torch.int64).unsqueeze(2), t.new_ones(1, 1, 1)
    if interpolation == 3:
        return _simplex(t)
    share = t * t * (3 - 2 * t) if interpolation == 2 else t
    shares = torch.stack([1 - share, share], -1)
    weights, dims = shares[..., 0, :], t.shape[-1]
    for axis in range(1, dims):
        weights = (shares[..., axis, :].unsqueeze(-1) * weights.unsqueeze(-2)).flatten(-2)
    corners = [[k >> axis & 1 for axis in range(dims)] for k in range(1 << dims)]
    return torch.tensor(corners, device=t.device).reshape(1, 1, -1, dims), weights


def _simplex(t: Tensor) -> tuple[Tensor, Tensor]:
    """From the lowest vertex one step along every axis, in the order of falling t."""
    dims = t.shape[-1]
    axes = torch.arange(dims, device=t.device)
    mine, other = t.unsqueeze(-1), t.unsqueeze(-2)
    before = (other > mine) | ((other == mine) & (axes < axes.unsqueeze(-1)))
    rank = before.to(torch.int64).sum(-1)
    steps = rank.unsqueeze(2) < torch.arange(dims + 1, device=t.device).unsqueeze(-1)
    falling = t.sort(-1, descending=True).values
    # Not by ones_like: an exporter would store a constant as long as the points.
    return steps.to(torch.int64), pad(falling, (1, 0), value=1.0) - pad(falling, (0, 1))


def _row(vertices: Tensor, sizes: Tensor, rows: Tensor) -> Tensor:
    """Rows (N, L, K) within their levels of vertices (N, L, K, d)."""
    dense, hashed, stride = vertices[..., 0], vertices[..., 0], sizes[:, :1]
    vertex_count = sizes[:, :1].double()  # int64 has no room for the vertices of large levels
    for axis in range(1, vertices.shape[-1]):
        c = vertices[..., axis]
        dense, hashed = dense + c * stride, hashed ^ (c * _PRIMES[axis])
        stride = stride * sizes[:, axis : axis + 1]
        vertex_count = vertex_count * sizes[:, axis : axis + 1]
    return torch.where(vertex_count <= rows, dense, (hashed & 0xFFFFFFFF) % rows)


def _decoded(rows: Tensor, codebook: Tensor | None) -> Tensor:
    """Rows as they lie in the table, codes replaced by their entries."""
    if codebook is None:
        return rows
    return codebook.index_select(0, rows.flatten().to(torch.int64))


def level_table(sizes: Sequence[Sequence[int]], log2_rows: int) -> Tensor:
    """The `levels` of grids with these vertices along their axes, of at most 2^log2_rows rows each.

    Larger ones are hashed.
    """
    rows = [min(prod(size), 1 << log2_rows) for size in sizes]
    first = accumulate(rows, initial=0)
    return torch.tensor([[*size, *place] for size, *place in zip(sizes, first, rows, strict=False)])
