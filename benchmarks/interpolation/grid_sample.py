"""Warping images: GridSample beside Torch, ONNX Runtime and OpenCV.

Random grids find no pixel in a cache, smooth ones move every pixel by up to 8, as optical flow
does. OpenCV's weights are those of 1/32 of a pixel, the others' are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import grid_sample

from benchmarks.interpolation import opencv
from benchmarks.subject import OURS, Array, Goal, Run, Subject, compiled, node

_FIRST = f"{OURS} channels first"


def _random(height: int, width: int) -> Array:
    rng = np.random.default_rng(1)
    return rng.uniform(-1.1, 1.1, (1, height, width, 2)).astype(np.float32)


def _smooth(height: int, width: int) -> Array:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    right, down = 8 * np.sin(y / 37) * np.cos(x / 53), 8 * np.cos(y / 41) * np.sin(x / 29)
    grid = np.stack([2 * (x + right) / (width - 1), 2 * (y + down) / (height - 1)], -1) - 1
    return grid[None].astype(np.float32)


def _remap(image: Array, grid: Array, cv2: Any) -> Run:
    size = np.array([image.shape[1] - 1, image.shape[0] - 1], np.float32)
    x, y = np.ascontiguousarray(((grid[0] + 1) * size / 2).transpose(2, 0, 1))
    border = cv2.BORDER_REPLICATE
    return lambda: cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=border)


def _runs(shape: tuple[int, int, int], smooth: bool, threads: int) -> Mapping[str, Run]:
    x = np.random.default_rng(0).standard_normal((1, *shape), np.float32)
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    grid = (_smooth if smooth else _random)(*shape[:2])
    ours = {"mode": 0, "padding_mode": 1, "align_corners": 1}
    engine = {"mode": "linear", "padding_mode": "border", "align_corners": 1}
    image, points = torch.from_numpy(first), torch.from_numpy(grid)
    last = image.contiguous(memory_format=torch.channels_last)
    return {
        OURS: node("GridSample", [x, grid], {**ours, "channels_last": 1}, threads),
        _FIRST: node("GridSample", [first, grid], {**ours, "channels_last": 0}, threads),
        "torch": lambda: grid_sample(image, points, "bilinear", "border", True),
        "torch channels last": lambda: grid_sample(last, points, "bilinear", "border", True),
        **compiled("torch", lambda: grid_sample(image, points, "bilinear", "border", True)),
        "onnxruntime": node("GridSample", [first, grid], engine, threads, domain=""),
        **(opencv.peer(threads, partial(_remap, x[0], grid)) if shape[2] <= 4 else {}),
    }


_FEATURES = (Goal(5.0, ("torch", "onnxruntime")), Goal(1.0, ("torch",), _FIRST))
_PHOTOS = (Goal(1.5, ("opencv",)),)

SUBJECTS = tuple(
    Subject(
        f"bilinear warp, {'smooth' if smooth else 'random'} {'x'.join(map(str, shape))}",
        partial(_runs, shape, smooth),
        _PHOTOS if shape[2] <= 4 else _FEATURES,
    )
    for shape in ((256, 256, 32), (256, 256, 64), (1080, 1920, 3), (1080, 1920, 4))
    for smooth in (True, False)
)
