"""Calls of GridSample: every mode on images and volumes, then odd sizes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from smalti.runtime.ops.case import Case, normal

Shape = tuple[int, ...]

_IMAGE: tuple[Shape, Shape] = ((2, 3, 5, 7), (6, 4))
_VOLUME: tuple[Shape, Shape] = ((2, 2, 3, 4, 5), (3, 2, 6))
_ODD: tuple[tuple[Shape, Shape], ...] = (
    ((1, 1, 1, 1), (3, 5)),
    ((1, 2, 1, 9), (4, 4)),
    ((1, 19, 8, 1), (1, 1)),
    ((2, 3, 11, 13), (17, 31)),
    ((1, 1, 2, 1, 1), (2, 3, 4)),
    ((0, 3, 4, 4), (2, 2)),
    ((2, 0, 4, 4), (2, 2)),
    ((2, 3, 4, 4), (0, 2)),
)
_LAST: tuple[tuple[Shape, Shape], ...] = (
    ((2, 5, 7, 1), (6, 4)),
    ((2, 5, 7, 2), (13, 11)),
    ((1, 4, 9, 3), (17, 5)),
    ((1, 1, 1, 3), (2, 2)),
    ((1, 6, 5, 4), (9, 3)),
    ((1, 3, 6, 7), (5, 30)),
    ((1, 5, 4, 8), (9, 9)),
    ((2, 4, 6, 19), (5, 3)),
    ((1, 2, 3, 4, 5), (3, 2, 6)),
    ((1, 3, 2, 4, 40), (4, 2, 3)),
)


def _modes(points: Shape) -> range:
    """Return the modes that there are: cubic is for images only."""
    return range(3 if len(points) == 2 else 2)


def _case(
    rng: np.random.Generator,
    x: Shape,
    points: Shape,
    mode: int,
    padding: int,
    align: bool,
    last: bool = False,
) -> Case:
    """A fifth of the coordinates lie beyond the edges."""
    grid = rng.uniform(-1.25, 1.25, (x[0], *points, len(points))).astype(np.float32)
    name = f"{'x'.join(map(str, x))}-{mode}-{padding}-{'align' if align else 'edges'}"
    name += "-last" if last else ""
    attributes = {
        "mode": mode,
        "padding_mode": padding,
        "align_corners": align,
        "channels_last": last,
    }
    return Case(name, {"x": normal(rng, *x), "grid": grid}, attributes)


def cases() -> Iterator[Case]:
    """Yield all combinations of modes for one image and one volume, then shapes, then layouts."""
    rng = np.random.default_rng(5)
    for x, points in (_IMAGE, _VOLUME):
        for mode, padding, align in product(_modes(points), range(3), (False, True)):
            yield _case(rng, x, points, mode, padding, align)
    for i, (x, points) in enumerate(_ODD):
        for mode in _modes(points):
            yield _case(rng, x, points, mode, (i + mode) % 3, i % 2 == 0)
    for i, (x, points) in enumerate(_LAST):
        for mode in _modes(points):
            yield _case(rng, x, points, mode, (i + mode) % 3, i % 2 == 1, last=True)
