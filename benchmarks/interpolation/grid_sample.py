"""Warping an image: GridSample beside Torch, ONNX Runtime and OpenCV."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn.functional import grid_sample

from benchmarks.interpolation.subject import OURS, Goal, Run, Subject, node

_SIZE, _CHANNELS = (256, 256), 32


def _runs(threads: int) -> Mapping[str, Run]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, _CHANNELS, *_SIZE), np.float32)
    grid = rng.uniform(-1.1, 1.1, (1, *_SIZE, 2)).astype(np.float32)
    attributes = {"mode": 0, "padding_mode": 1, "align_corners": 1}
    engine = {"mode": "linear", "padding_mode": "border", "align_corners": 1}
    image, points = torch.from_numpy(x), torch.from_numpy(grid)
    return {
        OURS: node("GridSample", [x, grid], attributes, threads),
        "torch": lambda: grid_sample(image, points, "bilinear", "border", True),
        "onnxruntime": node("GridSample", [x, grid], engine, threads, domain=""),
    }


SUBJECTS = (Subject("bilinear warp", _runs, (Goal(5.0, ("torch", "onnxruntime")),)),)
