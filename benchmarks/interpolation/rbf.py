"""Features of the nearest radial basis functions, beside Torch's topk over all and SciPy's tree."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.subject import OURS, Array, Goal, Run, Subject, compiled, node
from smalti.runtime.ops.rbf_encode.buckets import build_buckets

_POINTS, _CENTERS, _CHANNELS, _NEIGHBOURS = 16384, 4096, 32, 4


def _mix(x: Tensor, chosen: Tensor, centers: Tensor, shapes: Tensor, features: Tensor) -> Tensor:
    """Inverse quadrics, normalised."""
    r2 = (shapes[chosen] * (x[:, None] - centers[chosen]).square()).sum(-1)
    phi = 1 / (1 + r2)
    return torch.einsum("nk,nkf->nf", phi / phi.sum(1, keepdim=True), features[chosen])


def _brute_force(x: Tensor, centers: Tensor, *rest: Tensor) -> Tensor:
    chosen = torch.cdist(x, centers).topk(_NEIGHBOURS, 1, largest=False).indices
    return _mix(x, chosen, centers, *rest)


@cache
def _table(axes: int) -> tuple[Array, Array, Array, int]:
    """Return centers, their bucket table and its cells."""
    centers = np.random.default_rng(0).random((_CENTERS, axes), np.float32)
    cells = round(_CENTERS ** (1 / axes))
    return centers, *build_buckets(centers.astype(np.float64), _NEIGHBOURS, cells), cells


def _tree(given: tuple[Tensor, ...], threads: int) -> dict[str, Run]:
    """SciPy finds the neighbours, Torch does the rest."""
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        print("scipy is not installed: without its tree", file=sys.stderr)
        return {}
    x, centers, *rest = given
    tree: Any = cKDTree(centers.numpy())
    points = x.numpy()

    def run() -> Tensor:
        chosen = tree.query(points, _NEIGHBOURS, workers=threads)[1]
        return _mix(x, torch.from_numpy(chosen), centers, *rest)

    return {"scipy tree and torch": run}


def _runs(axes: int, threads: int) -> Mapping[str, Run]:
    rng = np.random.default_rng(1)
    centers, start, ids, cells = _table(axes)
    x = rng.random((_POINTS, axes), np.float32)
    shapes = rng.uniform(100, 1000, (_CENTERS, 1)).astype(np.float32)
    features = rng.standard_normal((_CENTERS, _CHANNELS), np.float32)
    attributes = {"kernel": 0, "neighbours": _NEIGHBOURS, "normalise": 1, "cells": cells}
    inputs = [x, centers, shapes, features, start, ids]
    given = tuple(map(torch.from_numpy, (x, centers, shapes, features)))
    return {
        OURS: node("RbfEncode", inputs, attributes, threads),
        "torch": lambda: _brute_force(*given),
        **compiled("torch", lambda: _brute_force(*given)),
        **_tree(given, threads),
    }


SUBJECTS = tuple(
    Subject(
        f"radial basis functions in {axes} dimensions",
        partial(_runs, axes),
        (Goal(10.0, ("torch",)),),
    )
    for axes in (2, 3)
)
