"""What the commands do, without their printing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smalti.runtime.artifact import open_artifact
from smalti.runtime.bench import example_inputs, time_interleaved
from smalti.runtime.engine import InputError, Native
from smalti.runtime.errors import FileError
from smalti.runtime.session import Session

if TYPE_CHECKING:
    from torch.nn import Module

    from smalti.export.calibrate import Calibration
    from smalti.export.fold import Folded
    from smalti.export.recipe import Recipe
    from smalti.export.settings import Settings
    from smalti.export.target import Target
    from smalti.quant.plan import Plan

Feed = dict[str, NDArray[Any]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """A finished export: its file, its size, what was folded and what became of every layer."""

    path: str
    file_mb: float
    bits_per_weight: float
    errors: list[float]
    layers: list[Row]
    folds: list[Folded]


def export_recipe(
    recipe: Recipe, plan: Plan, path: str, target: Target, activations: str, settings: Settings
) -> Exported:
    """Fold, quantize and export a recipe's model, with progress on stderr."""
    from rich.console import Console

    from smalti.export.calibrate import calibrate
    from smalti.export.fold import fold_
    from smalti.export.target import Quantized
    from smalti.quant.apply import quantize_
    from smalti.quant.jobs import jobs_that_pay

    with Console(stderr=True).status("loading the model") as status:
        module = recipe.model().eval()
        status.update("folding")
        folds = fold_(module, recipe.example_inputs())
        weights = sum(p.numel() for p in module.parameters())
        plan, engine_formats = target.share(plan, module)
        found = calibrate(recipe, module, settings.data, settings.resume, status.update)
        layers = quantize_(
            module,
            plan,
            found.hessians,
            rounding=settings.rounding,
            learned=settings.learned,
            jobs=settings.jobs or jobs_that_pay(module),
            resume=settings.resume,
            activations=activations,
            progress=lambda name, i, n: status.update(f"quantizing {name} ({i + 1} of {n})"),
        )
        if settings.refine:
            _refine(module, recipe, found, status.update)
        done = Quantized(module, layers, engine_formats)
        errors = target.write(done, recipe, path, status.update)
    weights += sum(prod(layer.shape) for layer in layers if layer.format == "binary")
    artifact = Session(path).artifact
    size = artifact.bytes
    layers_now = artifact.manifest["layers"]
    return Exported(path, size / 1e6, 8 * size / weights, errors, layers_now, folds)


def _refine(
    module: Module, recipe: Recipe, found: Calibration, progress: Callable[[str], None]
) -> None:
    """Fine-tune what is stored in float beside the codes.

    Raises:
        RecipeError: there is no data to refine on.
    """
    from smalti.export.recipe import RecipeError
    from smalti.quant.refine import refine_

    if not found.batches:
        raise RecipeError(f"{recipe.name}: refinement needs data; use --data recipe or random")
    progress("refining")
    refine_(
        module,
        recipe.model().eval(),
        found.batches,
        loss=recipe.loss,
        progress=lambda epoch, loss: progress(f"refining: loss {loss:.4g} after epoch {epoch}"),
    )


def feed_for(path: str, inputs: Sequence[str]) -> Feed:
    """Arrays for a model's inputs: from .npy files in order, or made up."""
    session = Session(path, native="prefer")
    if not inputs:
        return example_inputs(session)
    return session.feed(tuple(load_array(name) for name in inputs), {})


def load_array(path: str) -> NDArray[Any]:
    """Load a .npy file.

    Raises:
        FileError: it is missing, or no plain array.
    """
    try:
        return np.load(path, allow_pickle=False)  # type: ignore[no-any-return]
    except (OSError, ValueError, EOFError) as error:
        raise FileError(f"{path}: {error}; pass a .npy file of numbers") from None


def run_once(
    path: str, inputs: Sequence[str], folder: str | None, threads: int | None, native: Native
) -> list[Row]:
    """Run a file once; describe its outputs, and write them as .npy files if asked."""
    session = Session(path, threads=threads, native=native)
    arrays = tuple(load_array(name) for name in inputs)
    outputs = session.run(*arrays) if arrays else session.run(**example_inputs(session))
    names = [port.name for port in session.outputs]
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, array in zip(names, outputs, strict=True):
            np.save(Path(folder) / f"{name}.npy", array)
    return [_describe(name, array) for name, array in zip(names, outputs, strict=True)]


def _describe(name: str, array: NDArray[Any]) -> Row:
    numbers = array.astype(np.float64) if array.size else np.zeros(1)
    return {
        "output": name,
        "type": str(array.dtype),
        "shape": list(array.shape),
        "min": float(numbers.min()),
        "mean": float(numbers.mean()),
        "max": float(numbers.max()),
    }


def bench_files(
    paths: Sequence[str],
    baseline: str | None,
    inputs: Sequence[str],
    threads: int | None,
    seconds: float,
) -> list[Row]:
    """Time files beside a float baseline, which is the first row."""
    feed = feed_for(paths[0], inputs)
    if not baseline and open_artifact(paths[0]).engine == "tflite":
        raise InputError("a .tflite file has no float fallback to compare with; give --baseline")
    if baseline:
        sessions = {f"{baseline} (baseline)": Session(baseline, threads=threads)}
    else:
        sessions = {f"{paths[0]} (as float)": Session(paths[0], threads=threads, native="off")}
    sessions |= {path: Session(path, threads=threads) for path in paths}
    timings = time_interleaved(
        {name: partial(session.run, **feed) for name, session in sessions.items()}, seconds
    )
    sizes = [session.artifact.bytes / 1e6 for session in sessions.values()]
    return [{**asdict(t), "file_mb": size} for t, size in zip(timings, sizes, strict=True)]
