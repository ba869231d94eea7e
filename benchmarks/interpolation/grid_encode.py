"""Multiresolution grid encodings: GridEncode beside Torch, and its interpolations side by side."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch

from benchmarks.subject import OURS, Goal, Run, Subject, compiled, node
from smalti.runtime.ops.grid_encode.op import INTERPOLATIONS, grid_encode, level_table

_POINTS, _LEVELS, _FEATURES, _LOG2_ROWS = 16384, 16, 2, 16
_SIMPLEX = "simplex by smalti"


def _attributes(interpolation: str) -> dict[str, int]:
    mode = INTERPOLATIONS.index(interpolation)
    return {"features": _FEATURES, "interpolation": mode, "warp": 0, "align_corners": 1}


def _runs(dims: int, threads: int) -> Mapping[str, Run]:
    rng = np.random.default_rng(0)
    sizes = [int(16 * 1.38**level) for level in range(_LEVELS)]
    levels = level_table([(size,) * dims for size in sizes], _LOG2_ROWS)
    rows = int(levels[-1, -2:].sum())
    x = rng.random((_POINTS, dims), np.float32)
    table = rng.standard_normal((rows, _FEATURES), np.float32)
    codes = rng.integers(-127, 128, table.shape).astype(np.int8)
    scales = np.ones(_LEVELS, np.float32)
    linear, simplex = _attributes("linear"), _attributes("simplex")
    given = [x, table, levels.numpy()]
    tensors = [torch.from_numpy(x), torch.from_numpy(table), levels, None, None]

    def eager(attributes: Mapping[str, int]) -> torch.Tensor:
        return grid_encode.reference(*tensors, **attributes)

    return {
        OURS: node("GridEncode", given, linear, threads),
        _SIMPLEX: node("GridEncode", given, simplex, threads),
        "int8 by smalti": node("GridEncode", [x, codes, given[2], scales], linear, threads),
        "torch": lambda: eager(linear),
        "simplex in torch": lambda: eager(simplex),
        **compiled("torch", lambda: eager(linear)),
        **compiled("simplex in torch", lambda: eager(simplex)),
    }


def _subject(dims: int, faster: float) -> Subject:
    goals = (
        Goal(25.0, ("torch",)),
        Goal(25.0, ("simplex in torch",), _SIMPLEX),
        Goal(faster, (OURS,), _SIMPLEX),
    )
    return Subject(f"grid encoding {dims}-D", partial(_runs, dims), goals)


SUBJECTS = (_subject(3, 1.3), _subject(4, 2.0))
