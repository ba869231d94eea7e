"""Neural spline flows: RationalQuadraticSpline, both ways, beside Torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from benchmarks.interpolation.subject import OURS, Goal, Run, Subject, node
from smalti.runtime.ops.rational_quadratic_spline.op import rational_quadratic_spline

_POINTS, _BINS = 65536, 8


def _subject(name: str, inverse: bool) -> Subject:
    attributes = {
        "inverse": inverse,
        "tail_bound": 3.0,
        "min_bin_width": 1e-2,
        "min_bin_height": 1e-2,
        "min_derivative": 1e-2,
    }

    def runs(threads: int) -> Mapping[str, Run]:
        rng = np.random.default_rng(0)
        x = rng.uniform(-3.3, 3.3, _POINTS).astype(np.float32)
        sizes = (_BINS, _BINS, _BINS - 1)
        given = [x, *(rng.standard_normal((_POINTS, k), np.float32) for k in sizes)]
        tensors = [torch.from_numpy(a) for a in given]

        def eager() -> Tensor:
            with torch.inference_mode():
                return rational_quadratic_spline.reference(*tensors, **attributes)

        ours = {**attributes, "inverse": int(inverse)}
        return {
            OURS: node("RationalQuadraticSpline", given, ours, threads),
            "torch": eager,
        }

    return Subject(f"rational-quadratic spline, {name}", runs, (Goal(20.0, ("torch",)),))


SUBJECTS = (_subject("forward", False), _subject("inverse", True))
