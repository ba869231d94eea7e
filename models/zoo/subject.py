"""A recipe's trained module, and what is derived from it once: Hessians, costs, rows' formats."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smalti.export.calibrate import Calibration, Progress, calibrate
from smalti.export.fold import fold_
from smalti.export.recipe import load_recipe
from smalti.export.target import Quantized, target_for
from smalti.models.zoo.storage import (
    FORMATS,
    INT8,
    PLANNED,
    Storage,
    around_tables,
    can_have,
    in_int8,
    mostly_tables,
    planned,
    quantize_tables_,
)
from smalti.quant.apply import quantize_
from smalti.quant.jobs import jobs_that_pay
from smalti.quant.observe import tensors
from smalti.quant.plan import Plan
from smalti.quant.sensitivity import Cost, costs
from smalti.quant.sums import Hessians
from smalti.quant.targets import layers_with_weights
from smalti.runtime.format import Format

Array = NDArray[Any]
Run = Callable[..., list[Array]]
_PACKAGES = ("smalti", "torch", "onnxruntime", "ai-edge-litert", "litert-torch")


class Subject:
    """A recipe of smalti.models with its module trained or loaded, and folded.

    work: a folder that keeps Hessians and finished layers. say: is told what is being done. int8:
    whether plans may use it; False, set before the first plan, where LiteRT's quantizer cannot tell
    the layers apart.

    Raises:
        FileNotFoundError, ModuleNotFoundError: data or a package are missing; the recipe says what
            to put where.
    """

    def __init__(self, name: str, work: Path, say: Progress) -> None:
        self._work, self.say, self.int8 = work, say, True
        say("training or loading")
        self.source = importlib.import_module(f"smalti.models.{name}")
        self.recipe = load_recipe(self.source.__name__)
        self.trained = self.recipe.model().eval()
        self.inputs = self.recipe.example_inputs()
        self._jobs = jobs_that_pay(self.trained)

    @cached_property
    def key(self) -> str:
        """Digest of what results rest on: weights, inputs, recipes' sources, and packages."""
        found = hashlib.sha256("".join(_sources(self.source)).encode())
        for tensor in (*self.trained.state_dict().values(), *self.inputs):
            found.update(tensor.detach().contiguous().numpy().tobytes())
        found.update(" ".join(map(_version, _PACKAGES)).encode())
        return found.hexdigest()

    def evaluate(self, run: Run) -> dict[str, float]:
        """Score a run in the recipe's own metrics."""
        found: dict[str, float] = self.source.evaluate(run)
        return found

    @cached_property
    def module(self) -> nn.Module:
        """The module as folded."""
        self.say("folding")
        module = copy.deepcopy(self.trained)
        fold_(module, self.inputs)
        return module

    @cached_property
    def _calibration(self) -> Calibration:
        data = "random" if self.recipe.calibration is None else "recipe"
        return calibrate(self.recipe, self.module, data, self._work, self.say)

    @cached_property
    def _costs(self) -> Mapping[str, Sequence[Cost]]:
        layers = [layer for _, layer in layers_with_weights(self.module)]
        formats = [form for form in FORMATS if self.int8 or isinstance(form, Format)]
        if not any(can_have(layer, form) for layer in layers for form in formats):
            return {}
        return costs(
            self.module,
            formats,
            self._calibration.hessians,
            rounding="yaqa",
            jobs=self._jobs,
            resume=self._work,
            progress=lambda name, i, n: self.say(f"rounding {name} ({i + 1} of {n})"),
        )

    def storage(self, row: str) -> Storage:
        """Return the formats of a row."""
        if row == INT8:
            return in_int8(self.module)
        if row not in PLANNED:
            return Storage()
        if mostly_tables(self.module):
            return around_tables(self.module, row, int8=self.int8)
        return planned(self.module, self._costs, row)

    def _hessians(self, row: str) -> Hessians:
        if row not in PLANNED or mostly_tables(self.module) or not self._costs:
            return {}
        return self._calibration.hessians

    def export(self, row: str, engine: str, path: Path) -> float:
        """Quantize as a row says and export; return the largest error against the module."""
        storage, target = self.storage(row), target_for(engine, path.name, None)
        module = copy.deepcopy(self.module)
        tables = quantize_tables_(module, storage.tables)
        plan, engine_formats = target.share(Plan.of(storage.layers), module)
        layers = quantize_(
            module,
            plan,
            self._hessians(row),
            jobs=self._jobs,
            resume=self._work,
            progress=lambda name, i, n: self.say(f"{row}: quantizing {name} ({i + 1} of {n})"),
        )
        done = Quantized(module, [*tables, *layers], engine_formats)
        errors = target.write(
            done, self.recipe, str(path), lambda stage: self.say(f"{row}: {stage} {path.name}")
        )
        return max(errors, default=0.0)


def _sources(recipe: ModuleType) -> list[str]:
    """Return the text of a recipe and of the modules beside it that it takes things from."""
    near = {recipe.__name__}
    for value in vars(recipe).values():
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        near.add(str(home))
    names = sorted(name for name in near if name.startswith("smalti.models."))
    return [inspect.getsource(sys.modules[name]) for name in names]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def torch_run(module: nn.Module) -> Run:
    """Return a module as evaluate() wants it: arrays to a list of arrays."""

    def run(*arrays: Array) -> list[Array]:
        with torch.inference_mode():
            return list(_arrays(module(*(torch.from_numpy(np.asarray(a)) for a in arrays))))

    return run


def _arrays(outputs: Any) -> Iterator[Array]:
    return (tensor.numpy() for tensor in tensors(outputs))
