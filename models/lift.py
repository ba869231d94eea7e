"""Features twice as dense, for little: a few convolutions behind a small vision transformer.

LiFT (Suri, Walmer, Gupta, Shrivastava 2024) learns from the encoder itself: of an image and its
features it makes those that the encoder finds in the image at twice the size. No pretrained
transformer comes in a package, so the encoder is trained here, to name the garment that each token
shows in scenes of four of Fashion-MNIST's images. The weights of both stay in CACHE; delete that
file to train again, for about three minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import (
    avg_pool2d,
    cosine_similarity,
    cross_entropy,
    interpolate,
    normalize,
    pixel_shuffle,
    relu,
)

from smalti.models import fashion
from smalti.models.about import About
from smalti.models.batches import Shuffled
from smalti.models.pictures import side_by_side
from smalti.models.trained import trained
from smalti.models.vit import Encoder
from smalti.quant.training import Batch, fine_tune

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ABOUT = About(
    papers=(
        "Suri, Walmer, Gupta, Shrivastava 2024, LiFT: A Surprisingly Simple Lightweight Feature "
        "Transform for Dense ViT Descriptors, arXiv 2403.14625",
    ),
    metric="cosine",
    rises=True,
    data="512 scenes, each of four of Fashion-MNIST's test images, from Debian's "
    "dataset-fashion-mnist or SMALTI_DATA",
)

CACHE = "lift.safetensors"  # under SMALTI_CACHE, else in build/
SIDE, PATCH = 56, 4  # pixels, of a whole scene and of a token
WIDTH, HEADS, BLOCKS, INNER = 64, 4, 3, 48  # channels of the encoder; INNER: of LiFT
EPOCHS, BATCH = (1, 1), 16  # of the encoder and of LiFT; scenes
TRAINED = 32000  # images
TESTED, AT_ONCE, SHOWN = 512, 32, 4  # scenes, in all, of one run and of the picture
BACKGROUND = 10  # the class after the ten of garments

Array = NDArray[Any]
Run = Callable[..., list[Array]]


class LiFT(nn.Module):
    """An image (N, 1, h, w) and its features -> features (N, WIDTH, 2h / PATCH, 2w / PATCH)."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = nn.Conv2d(1, INNER // 2, 3, padding=1)
        self.shapes = nn.Conv2d(INNER // 2, INNER // 2, 3, stride=2, padding=1)
        # A transposed convolution of 2x2 taps two apart, as one of 1x1 that can be quantized.
        self.finer = nn.Conv2d(WIDTH, 4 * INNER, 1)
        self.mix1 = nn.Conv2d(INNER + INNER // 2, INNER, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(INNER)
        self.mix2 = nn.Conv2d(INNER, INNER, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(INNER)
        self.last = nn.Conv2d(INNER, WIDTH, 1)

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """image: (N, 1, h, w), features: (N, WIDTH, h / PATCH, w / PATCH)."""
        seen = relu(self.shapes(relu(self.lines(image))))
        y = torch.cat([pixel_shuffle(self.finer(features), 2), seen], 1)
        y = relu(self.norm1(self.mix1(y)))
        result: Tensor = self.last(relu(self.norm2(self.mix2(y))))
        return result


class Lifted(nn.Module):
    """Encoder and LiFT: images (N, 1, h, w) -> features twice as dense as the encoder's."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(WIDTH, HEADS, BLOCKS, PATCH, SIDE // PATCH)
        self.lift = LiFT()

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 1, h, w) -> (N, WIDTH, 2h / PATCH, 2w / PATCH)."""
        result: Tensor = self.lift(x, self.encoder(x))
        return result


def scenes(batch: Batch) -> Batch:
    """Lay four images each to a square: (4N, 1, h, w) -> (N, 1, 2h, 2w); labels (N, 1, 2, 2)."""
    images, labels = batch
    count, _, h, w = images.shape
    squares = images.view(count // 4, 2, 2, h, w).transpose(2, 3)
    return squares.reshape(-1, 1, 2 * h, 2 * w), labels.view(-1, 1, 2, 2)


def naming_error(module: nn.Module, batch: Batch) -> Tensor:
    """Return the encoder's loss: what garment each token is of, at both sizes of the scene."""
    images, labels = batch
    return torch.stack([_named(module, x, labels) for x in (images, avg_pool2d(images, 2))]).sum()


def _named(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    garment = avg_pool2d(images, PATCH) > 0.1
    wanted = torch.where(garment, interpolate(labels.float(), garment.shape[2:]), BACKGROUND)
    return cross_entropy(module(images), wanted[:, 0].long())


def lifting_error(module: nn.Module, batch: Batch) -> Tensor:
    """Return LiFT's loss: its distance, by cosine, from the features of the whole image."""
    assert isinstance(module, Lifted)
    small = avg_pool2d(batch[0], 2)
    with torch.no_grad():
        wanted, features = module.encoder(batch[0]), module.encoder(small)
    return 1 - cosine_similarity(module.lift(small, features), wanted).mean()


def model() -> Lifted:
    """Return the trained encoder and LiFT, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    torch.manual_seed(0)
    return trained(CACHE, Lifted(), _train)


def _train(module: Lifted) -> None:
    images, labels = (torch.from_numpy(part[:TRAINED]) for part in fashion.load("train"))
    data = Shuffled(images, labels, batch=4 * BATCH, change=scenes)
    named = nn.Sequential(module.encoder, nn.Conv2d(WIDTH, BACKGROUND + 1, 1))
    fine_tune(named, data, naming_error, EPOCHS[0], learning_rate=1e-3)
    fine_tune(module, data, lifting_error, EPOCHS[1], learning_rate=4e-3)


def whole_scenes(part: str, count: int) -> Tensor:
    """Return whole scenes (count, 1, SIDE, SIDE) of the images of `train` or `t10k`."""
    images, labels = (torch.from_numpy(found[: 4 * count]) for found in fashion.load(part))
    return scenes((images, labels))[0]


def example_inputs() -> tuple[Tensor]:
    """Return scenes at half of their size."""
    return (avg_pool2d(whole_scenes("t10k", AT_ONCE), 2),)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield batches of training scenes at half of their size, 256 in all."""
    small = avg_pool2d(whole_scenes("train", 256), 2)
    yield from ((part,) for part in small.split(AT_ONCE))


@torch.inference_mode()
def evaluate(run: Run) -> dict[str, float]:
    """Return the mean cosine to the features of whole scenes; `cosine_bilinear`: without LiFT.

    Both see scenes at half of their size; bilinear upsampling has the encoder in float.
    """
    encoder, whole = model().encoder, whole_scenes("t10k", TESTED)
    small, wanted = avg_pool2d(whole, 2), encoder(whole)
    lifted = [torch.from_numpy(run(part.numpy())[0]) for part in small.split(AT_ONCE)]
    found = {"cosine": torch.cat(lifted), "cosine_bilinear": _doubled(encoder(small))}
    return {name: float(cosine_similarity(x, wanted).mean()) for name, x in found.items()}


def _doubled(features: Tensor) -> Tensor:
    return interpolate(features, scale_factor=2, mode="bilinear")


@torch.inference_mode()
def picture(runs: Mapping[str, Run]) -> Figure:
    """Return scenes, and features' directions as colours: the target's three principal axes."""
    encoder, whole = model().encoder, whole_scenes("t10k", AT_ONCE)
    small, target = avg_pool2d(whole, 2), encoder(whole)
    low = encoder(small)
    found = {"half size": low, "bilinear": _doubled(low)}
    found |= {name: torch.from_numpy(run(small.numpy())[0]) for name, run in runs.items()}
    rows = normalize(target).transpose(0, 1).flatten(1)
    mean, axes = rows.mean(1), torch.linalg.eigh(torch.cov(rows))[1][:, -3:]
    lengths = 2 * ((rows - mean[:, None]).T @ axes).std(0)
    columns = {"scene": list(whole[:SHOWN, 0].numpy())}
    for name, features in (found | {"target": target}).items():
        places = (normalize(features[:SHOWN]).permute(0, 2, 3, 1) - mean) @ axes / lengths
        columns[name] = list((0.5 + 0.5 * places).clamp(0, 1).numpy())
    return side_by_side(columns)
