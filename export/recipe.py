"""A user's model as a Python file or module of plain functions."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from smalti.quant.observe import LOSSES
from smalti.runtime.errors import SmaltiError


class RecipeError(SmaltiError):
    """A recipe that cannot be read, or lacks a function."""

    exit_code = 2


@dataclass(frozen=True)
class Recipe:
    """What a recipe module gives.

    model: the trained module; example_inputs: its positional arguments, tensors. Optional are
    dynamic_shapes: one {axis: torch.export.Dim} an input, as `torch.onnx.export` takes them;
    calibration: batches of positional arguments, samples along the first axis; loss: `values` or
    `logits`, what the outputs are and so how errors compare.
    """

    name: str
    model: Callable[[], torch.nn.Module]
    example_inputs: Callable[[], tuple[torch.Tensor, ...]]
    dynamic_shapes: Callable[[], tuple[Any, ...]] | None
    calibration: Callable[[], Iterable[tuple[torch.Tensor, ...]]] | None
    loss: str


def load_recipe(where: str) -> Recipe:
    """Load `path/to/file.py` or `package.module`.

    Raises:
        RecipeError: not found, fails on import, or lacks `model` or `example_inputs`.
    """
    module = _import_file(Path(where)) if where.endswith(".py") else _import_module(where)
    for name in ("model", "example_inputs"):
        if not callable(getattr(module, name, None)):
            raise RecipeError(
                f"{where}: a recipe needs a function {name}(); write\n"
                "  def model() -> torch.nn.Module: ...\n"
                "  def example_inputs() -> tuple[torch.Tensor, ...]: ..."
            )
    loss = getattr(module, "loss", "values")
    if loss not in LOSSES:
        raise RecipeError(f"{where}: loss = {loss!r}; use one of {', '.join(LOSSES)}")
    return Recipe(
        where,
        module.model,
        module.example_inputs,
        getattr(module, "dynamic_shapes", None),
        getattr(module, "calibration", None),
        loss,
    )


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise RecipeError(f"{path}: no such file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        raise RecipeError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"{name}: {error}; name a file (recipe.py) or an importable module"
        ) from error
