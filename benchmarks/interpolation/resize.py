"""Twice the height and width: Resize beside Torch, ONNX Runtime and OpenCV."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from benchmarks.interpolation import opencv
from benchmarks.subject import OURS, Goal, Run, Subject, compiled, node

_LINEAR, _CUBIC = 0, 2
_TORCH = {_LINEAR: "bilinear", _CUBIC: "bicubic"}
_ENGINE = {_LINEAR: "linear", _CUBIC: "cubic"}


def _runs(shape: tuple[int, int, int], mode: int, threads: int) -> Mapping[str, Run]:
    x = np.random.default_rng(0).standard_normal((1, *shape), np.float32)
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    height, width, channels = shape
    sizes = (2 * height, 2 * width)
    ours = {"sizes": sizes, "mode": mode, "align_corners": 0}
    image = torch.from_numpy(first)
    last = image.contiguous(memory_format=torch.channels_last)
    twice: Any = np.array([1, 1, 2, 2], np.float32)

    def resized(cv2: Any) -> Run:
        how = cv2.INTER_LINEAR if mode == _LINEAR else cv2.INTER_CUBIC
        return lambda: cv2.resize(x[0], sizes[::-1], interpolation=how)

    return {
        OURS: node("Resize", [x], {**ours, "channels_last": 1}, threads),
        f"{OURS} channels first": node("Resize", [first], {**ours, "channels_last": 0}, threads),
        "torch": lambda: interpolate(image, sizes, mode=_TORCH[mode]),
        "torch channels last": lambda: interpolate(last, sizes, mode=_TORCH[mode]),
        **compiled("torch channels last", lambda: interpolate(last, sizes, mode=_TORCH[mode])),
        "onnxruntime": node(
            "Resize", [first, None, twice], {"mode": _ENGINE[mode]}, threads, domain=""
        ),
        **(opencv.peer(threads, resized) if channels <= 4 else {}),
    }


def _goals(mode: int, channels: int) -> tuple[Goal, ...]:
    if mode == _CUBIC:
        return (Goal(8.0, ("torch",)),)
    opencv_too = (Goal(1.0, ("opencv",)),) if channels <= 4 else ()
    return (Goal(1.5, ("torch channels last",)), Goal(5.0, ("onnxruntime",)), *opencv_too)


SUBJECTS = tuple(
    Subject(f"{_TORCH[mode]} 2x, {'x'.join(map(str, shape))}", partial(_runs, shape, mode), goals)
    for shape in ((64, 64, 64), (128, 128, 64), (270, 480, 3), (540, 960, 3))
    for mode in (_LINEAR, _CUBIC)
    for goals in (_goals(mode, shape[2]),)
)
