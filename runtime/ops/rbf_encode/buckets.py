"""Which centers can be among the k nearest of any point in a cell: the table of RbfEncode."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

_SLACK = 1e-6  # of the cube's side: far above float32's rounding of points and distances
_AT_ONCE = 1 << 22  # distances


def build_buckets(centers: Array, neighbours: int, cells: int) -> tuple[Ids, Ids]:
    """Return (cell_start, cell_ids) for centers (K, d) and cells^d equal cells of [0, 1]^d.

    Every cell lists, by distance from its middle, all centers that fewer than `neighbours` others
    are nearer than, all over the cell: those nearest of any of its points are among them. Takes
    cells^d * K distances.

    Raises:
        ValueError: fewer centers than neighbours, or centers that are not finite.
    """
    points = np.asarray(centers, np.float64)
    if neighbours > len(points):
        raise ValueError(f"neighbours: {neighbours}; pass at most {len(points)}, one a center")
    if not np.isfinite(points).all():
        raise ValueError("centers: not all are finite; pass numbers")
    axis = (np.arange(cells) + 0.5) / cells
    middles = np.stack(np.meshgrid(*[axis] * points.shape[1], indexing="ij"), -1)
    half = 0.5 / cells + _SLACK
    lists = []
    step = max(1, _AT_ONCE // len(points))
    for part in np.split(
        middles.reshape(-1, points.shape[1]), range(step, cells ** points.shape[1], step)
    ):
        within = _candidates(part, points, neighbours, half)
        lists += [
            _undominated(middle, points, np.flatnonzero(near), neighbours, half)
            for middle, near in zip(part, within, strict=True)
        ]
    starts = np.cumsum([0, *map(len, lists)])
    return starts.astype(np.int64), np.concatenate(lists).astype(np.int64)


def _candidates(middles: Array, points: Array, neighbours: int, half: float) -> NDArray[np.bool_]:
    """Return (cells, K): not farther, at their nearest, than `neighbours` others at their farthest."""
    away = np.abs(middles[:, None] - points)
    farthest = np.square(away + half).sum(-1)
    bound = np.partition(farthest, neighbours - 1, axis=1)[:, neighbours - 1 : neighbours]
    nearest = np.square(np.maximum(away - half, 0)).sum(-1)
    return np.asarray(nearest <= bound)


def _undominated(middle: Array, points: Array, ids: Ids, neighbours: int, half: float) -> Ids:
    """Drop what `neighbours` others are nearer than at every point p of the cell.

    |p - a|^2 - |p - b|^2 is linear in p, so its largest value is at a corner of the cell.
    """
    offsets = points[ids] - middle
    squares = np.square(offsets).sum(-1)
    apart = np.abs(offsets[:, None] - offsets).sum(-1)
    largest = squares[:, None] - squares + 2 * half * apart  # row nearer than column: below 0
    nearer = (largest < -_SLACK * apart).sum(0)
    kept = nearer < neighbours
    return np.asarray(ids[kept][np.argsort(squares[kept], kind="stable")])
