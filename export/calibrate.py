"""Data for rounding and planning: a recipe's own, made up, or none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch

from smalti.export.recipe import Recipe, RecipeError
from smalti.quant.observe import Batch, estimate, tensors
from smalti.quant.random_inputs import random_batches
from smalti.quant.sums import Hessians

DATA = ("recipe", "random", "none")
_RANDOM_BATCHES = 32
_GRADIENTS = 4096  # at least so many samples' gradients; each pass draws other labels
_IMAGES = 512  # so many where outputs are images, as every pixel has a gradient of its own

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Calibration:
    """Batches and the Hessians that they gave; both empty without data."""

    batches: Sequence[Batch]
    hessians: Hessians


def calibrate(
    recipe: Recipe, module: torch.nn.Module, data: str, resume: Path | None, progress: Progress
) -> Calibration:
    """Collect the Hessians of a recipe's model.

    data: `recipe` for the recipe's calibration(), `random` for made-up inputs, or `none`. resume: a
    folder that keeps the sums; a call that was cut off goes on from there.

    Raises:
        RecipeError: the recipe has no calibration().
        CalibrationError: the data is empty, or gives NaN.
    """
    if data == "none":
        return Calibration([], {})
    progress("reading calibration data")
    batches = _batches(recipe, module, data)
    samples = sum(len(batch[0]) for batch in batches)
    passes = ceil(_wanted(module, batches) / max(1, samples))
    count = passes * len(batches)
    hessians = estimate(
        module,
        batches,
        loss=recipe.loss,
        passes=passes,
        save_to=resume and resume / f"hessians-{_digest(module, batches)}.safetensors",
        progress=lambda done: progress(f"calibrating: batch {done} of {count}"),
    )
    return Calibration(batches, hessians)


@torch.no_grad()
def _wanted(module: torch.nn.Module, batches: Sequence[Batch]) -> int:
    """Return how many samples' gradients are needed."""
    images = batches and all(output.dim() >= 4 for output in tensors(module(*batches[0])))
    return _IMAGES if images else _GRADIENTS


def _batches(recipe: Recipe, module: torch.nn.Module, data: str) -> list[Batch]:
    if data == "random":
        return list(random_batches(module, recipe.example_inputs(), _RANDOM_BATCHES))
    if recipe.calibration is None:
        raise RecipeError(
            f"{recipe.name} has no function calibration(); write one that gives batches of inputs,"
            " or use --data random"
        )
    return list(recipe.calibration())


def _digest(module: torch.nn.Module, batches: Sequence[Batch]) -> str:
    """Of all that decides the sums."""
    tensors = [
        torch.tensor([_GRADIENTS, _IMAGES]),
        *module.state_dict().values(),
        *(x for batch in batches for x in batch),
    ]
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
