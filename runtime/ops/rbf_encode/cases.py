"""Calls of RbfEncode: every kernel, shape and number of axes, then odd sizes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from smalti.runtime.ops.case import Array, Case, normal
from smalti.runtime.ops.rbf_encode.buckets import build_buckets

_POINTS, _CENTERS = 37, 50


def _case(
    rng: np.random.Generator,
    axes: int,
    numbers: int,
    kernel: int,
    normalise: bool,
    *,
    neighbours: int = 4,
    points: int = _POINTS,
    centers: int = _CENTERS,
    channels: int = 11,
    cells: int = 3,
) -> Case:
    """A tenth of the points lie outside. Matrices are positive definite, as those of shapes are."""
    places = rng.random((centers, axes), np.float32)
    shapes = rng.uniform(1, 30, (centers, numbers)).astype(np.float32)
    if numbers > axes:
        roots = normal(rng, centers, axes, axes) * 3
        shapes = (roots @ roots.swapaxes(1, 2)).reshape(centers, numbers)
    start, ids = build_buckets(places.astype(np.float64), neighbours, cells)
    inputs: dict[str, Array] = {
        "x": rng.uniform(-0.05, 1.05, (points, axes)).astype(np.float32),
        "centers": places,
        "shapes": shapes,
        "features": normal(rng, centers, channels),
        "cell_start": start,
        "cell_ids": ids,
    }
    attributes = {"kernel": kernel, "neighbours": neighbours, "normalise": normalise}
    name = f"d{axes}-s{numbers}-{kernel}-{normalise}-{points}x{centers}x{channels}-k{neighbours}"
    return Case(name, inputs, {**attributes, "cells": cells})


def cases() -> Iterator[Case]:
    """Yield kernels and shapes in turn for all numbers of axes, then sizes."""
    rng = np.random.default_rng(30)
    kinds = [(d, s) for d in (1, 2, 3) for s in sorted({1, d, d * d})]
    for i, ((axes, numbers), normalise) in enumerate(product(kinds, (False, True))):
        yield _case(rng, axes, numbers, (i + i // 6) % 3, normalise)
    for points, centers, channels, neighbours, cells in (
        (0, 5, 3, 2, 2),
        (9, 1, 1, 1, 1),
        (9, 40, 32, 32, 2),
        (7, 9, 8, 9, 5),
        (300, 200, 33, 3, 14),
        (4, 6, 0, 2, 3),
    ):
        sizes = {"points": points, "centers": centers, "channels": channels}
        yield _case(rng, 2, 2, 2, True, neighbours=neighbours, cells=cells, **sizes)
