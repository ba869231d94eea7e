"""Which centers can be among the k nearest of any point in a cell: the table of RbfEncode."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

_SLACK = 1e-6  # of the cube's side: far above float32's rounding of points and distances


def build_buckets(centers: Array, neighbours: int, cells: int) -> tuple[Ids, Ids]:
    """Return (cell_start, cell_ids) for centers (K, d) and cells^d equal cells of [0, 1]^d.

    Every cell lists, by distance from its middle, all centers that fewer than `neighbours` others
    are nearer than, all over the cell: those nearest to any of its points are among them.

    Raises:
        ValueError: fewer centers than neighbours, or centers that are not finite.
    """
    points = np.asarray(centers, np.float64)
    if neighbours > len(points):
        raise ValueError(f"neighbours: {neighbours}; pass at most {len(points)}, one a center")
    if not np.isfinite(points).all():
        raise ValueError("centers: not all are finite; pass numbers")
    shape = (cells,) * points.shape[1]
    lists: list[Ids] = [np.empty(0, np.int64)] * cells ** len(shape)
    boxes = [(np.zeros(len(shape), np.int64), np.array(shape), np.arange(len(points)))]
    while boxes:
        low, high, ids = boxes.pop()
        middle, half = (low + high) / 2 / cells, (high - low) / 2 / cells + _SLACK
        near = ids[_candidates(points[ids] - middle, neighbours, half)]
        if (high - low).max() > 1:
            boxes += [(*box, near) for box in _halves(low, high)]
        else:
            kept = _undominated(points[near] - middle, neighbours, half)
            lists[int(np.ravel_multi_index(tuple(low), shape))] = near[kept]
    starts = np.cumsum([0, *map(len, lists)])
    return starts.astype(np.int64), np.concatenate(lists)


def _halves(low: Ids, high: Ids) -> list[tuple[Ids, Ids]]:
    """Cut a box of cells across its longest axis."""
    cut = np.arange(len(low)) == np.argmax(high - low)
    middle = (low + high) // 2
    return [(low, np.where(cut, middle, high)), (np.where(cut, middle, low), high)]


def _candidates(offsets: Array, neighbours: int, half: Array) -> NDArray[np.bool_]:
    """Tell what is, at its nearest to the box, no farther than `neighbours` at their farthest."""
    away = np.abs(offsets)
    farthest = np.square(away + half).sum(-1)
    nearest = np.square(np.maximum(away - half, 0)).sum(-1)
    return np.asarray(nearest <= np.partition(farthest, neighbours - 1)[neighbours - 1])


def _undominated(offsets: Array, neighbours: int, half: Array) -> Ids:
    """Return, nearest first, what not `neighbours` others are nearer than at every point p.

    |p - a|^2 - |p - b|^2 is linear in p, so its largest value is at a corner of the box.
    """
    squares = np.square(offsets).sum(-1)
    apart = np.abs(offsets[:, None] - offsets)
    largest = squares[:, None] - squares + 2 * (apart @ half)
    nearer = (largest < -_SLACK * apart.sum(-1)).sum(0)  # rows that are nearer than the column
    kept = np.flatnonzero(nearer < neighbours)
    return np.asarray(kept[np.argsort(squares[kept], kind="stable")])
