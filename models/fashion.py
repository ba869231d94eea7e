"""A small convolutional net on Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), trained on first use.

420 k parameters, most of them in 1x1 convolutions of 12 * 2^k, 20 * 2^k and 2^k channels. The
weights stay in CACHE; delete that file to train again, for some minutes.
"""

from __future__ import annotations

import gzip
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from smalti.models.about import About
from smalti.models.batches import Shuffled
from smalti.models.trained import trained
from smalti.quant.training import Batch, fine_tune

ABOUT = About(
    papers=(
        "Xiao, Rasul, Vollgraf 2017, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms, arXiv 1708.07747",
    ),
    metric="accuracy",
    rises=True,
    data="Fashion-MNIST's 10000 test images, from Debian's dataset-fashion-mnist or SMALTI_DATA",
)

loss = "logits"  # what the outputs are: scores before the softmax, so errors compare by KL

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
CACHE = "fashion.safetensors"  # under SMALTI_CACHE, else in build/
EPOCHS, BATCH = 8, 128

Array = NDArray[Any]
Run = Callable[..., list[Array]]


class Residual(nn.Sequential):
    """x + f(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W), kept in shape."""
        y = x
        for part in self:
            y = part(y)
        return x + y


def _normed(conv: nn.Conv2d) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels)]


def _depthwise(width: int, stride: int, padding: int) -> list[nn.Module]:
    return _normed(nn.Conv2d(width, width, 3, stride, padding, groups=width, bias=False))


def _pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    return _normed(nn.Conv2d(inputs, outputs, 1, bias=False))


def _bottleneck(width: int, inner: int) -> nn.Module:
    """Mix pixels, widen, narrow: ConvNeXt's order (Liu et al. 2022), with BatchNorm and ReLU."""
    widen = [nn.Conv2d(width, inner, 1), nn.ReLU(inplace=True)]
    return Residual(*_depthwise(width, 1, 1), *widen, *_pointwise(inner, width))


def _halve(inputs: int, outputs: int, padding: int) -> nn.Module:
    return nn.Sequential(*_depthwise(inputs, 2, padding), *_pointwise(inputs, outputs))


def network() -> nn.Module:
    """Return the untrained net: (N, 1, 28, 28) in 0..1 -> logits (N, 10)."""
    stem = nn.Conv2d(1, 48, 3, stride=2, padding=1, bias=False)
    parts = OrderedDict[str, nn.Module](
        stem=nn.Sequential(*_normed(stem), nn.ReLU(inplace=True)),
        halve1=_halve(48, 96, padding=1),  # 14 x 14 pixels to 7 x 7
        block1=_bottleneck(96, 256),
        halve2=_halve(96, 160, padding=0),  # to 3 x 3
        block2=_bottleneck(160, 480),
        block3=_bottleneck(160, 480),
        head=nn.Sequential(*_pointwise(160, 240), nn.ReLU(inplace=True)),
        mean=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        classes=nn.Linear(240, 10),
    )
    return nn.Sequential(parts)


def data_folder() -> Path:
    """Return the folder of the four files: Debian's, else under SMALTI_DATA.

    Raises:
        FileNotFoundError: neither is there; the message says how to get them.
    """
    folders = [DEBIAN]
    if "SMALTI_DATA" in os.environ:
        folders.append(Path(os.environ["SMALTI_DATA"], "fashion-mnist"))
    for folder in folders:
        if (folder / "train-images-idx3-ubyte.gz").is_file():
            return folder
    raise FileNotFoundError(
        "Fashion-MNIST is missing: apt-get install dataset-fashion-mnist, or put its four "
        f"*-ubyte.gz files in $SMALTI_DATA/fashion-mnist; looked in {', '.join(map(str, folders))}"
    )


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """Read the IDX format: two zeros, the type, the number of axes, their lengths, the bytes."""
    data = gzip.decompress(path.read_bytes())
    axes = data[3]
    shape = np.frombuffer(data, ">u4", axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def load(part: str) -> tuple[Array, Array]:
    """Return images (N, 1, 28, 28) float32 in 0..1 and labels (N,) int64 of `train` or `t10k`."""
    folder = data_folder()
    images = _read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:, None]
    labels = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz")
    return (images / np.float32(255)).astype(np.float32), labels.astype(np.int64)


def mirrored(batch: Batch) -> Batch:
    """Mirror half of a batch's images at random."""
    images, labels = batch
    chosen = torch.rand(len(images), 1, 1, 1) < 0.5
    return torch.where(chosen, images.flip(-1), images), labels


def training_batches(batch: int = BATCH) -> Shuffled:
    """Return the 60000 training images and their labels, half of the images mirrored."""
    images, labels = load("train")
    data = torch.from_numpy(images), torch.from_numpy(labels)
    return Shuffled(*data, batch=batch, change=mirrored)


def error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the training loss: cross entropy with labels smoothed by 0.05."""
    return cross_entropy(module(batch[0]), batch[1], label_smoothing=0.05)


def model() -> nn.Module:
    """Return the trained net, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    torch.manual_seed(0)
    return trained(CACHE, network(), _train)


def _train(module: nn.Module) -> None:
    # Pixels before channels: a 1x1 convolution is then a plain matrix product.
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fine_tune(module, training_batches(), error, EPOCHS, learning_rate=4e-3)
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


def example_inputs() -> tuple[Tensor]:
    """Return two test images."""
    return (torch.from_numpy(load("t10k")[0][:2]),)


def dynamic_shapes() -> tuple[dict[int, Any]]:
    """Return the axis of the input whose length is free."""
    return ({0: torch.export.Dim("batch")},)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield batches of training images, 512 in all."""
    images = torch.from_numpy(load("train")[0][:512])
    yield from ((part,) for part in images.split(BATCH))


def evaluate(run: Run, batch: int = 2) -> dict[str, float]:
    """Return the accuracy on the 10000 test images, `batch` of them at a time."""
    images, labels = load("t10k")
    parts = [run(images[i : i + batch])[0].argmax(1) for i in range(0, len(images), batch)]
    return {"accuracy": float(np.mean(np.concatenate(parts) == labels))}
