"""The two kinds of files that an export can write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from smalti.export.conventions import OURS
from smalti.export.recipe import Recipe
from smalti.quant.apply import LayerReport
from smalti.quant.plan import Plan, PlanError
from smalti.quant.targets import layers_with_weights
from smalti.runtime.format import BlockFormat

Progress = Callable[[str], None]
EngineFormats = Mapping[str, BlockFormat]


@dataclass(frozen=True)
class Quantized:
    """A module after `quantize_`, its reports, and what is left to the engine's own quantizer."""

    module: nn.Module
    layers: Sequence[LayerReport]
    engine_formats: EngineFormats


class Target(Protocol):
    """Writes a quantized module."""

    def share(self, plan: Plan, module: nn.Module) -> tuple[Plan, EngineFormats]:
        """Return the plan for `quantize_`, and what is left to the engine's own quantizer."""
        ...

    def write(self, done: Quantized, recipe: Recipe, path: str, progress: Progress) -> list[float]:
        """Export, run and compare; return the relative error of every output."""
        ...


@dataclass(frozen=True)
class Onnx:
    """ONNX Runtime; `fallback` and `native` as in `export_onnx`."""

    fallback: str = "fold"
    native: tuple[str, ...] = ()

    def share(self, plan: Plan, module: nn.Module) -> tuple[Plan, EngineFormats]:
        """All formats are nodes that we write ourselves."""
        return plan, {}

    def write(self, done: Quantized, recipe: Recipe, path: str, progress: Progress) -> list[float]:
        """Export with the recipe's free dimensions."""
        from smalti.export.onnx import export_onnx

        return export_onnx(
            done.module,
            recipe.example_inputs(),
            path,
            layers=done.layers,
            dynamic_shapes=recipe.dynamic_shapes() if recipe.dynamic_shapes else None,
            fallback=self.fallback,
            native=self.native,
            progress=progress,
        )


@dataclass(frozen=True)
class TFLite:
    """LiteRT."""

    def share(self, plan: Plan, module: nn.Module) -> tuple[Plan, EngineFormats]:
        """Integer formats are for LiteRT's quantizer.

        Raises:
            PlanError: a format, or a layer in it, that LiteRT has no fast operator for.
        """
        chosen = {}
        for name, layer in layers_with_weights(module):
            form = plan.format_of(name)
            if isinstance(form, BlockFormat):
                _check(name, layer, form)
                chosen[name] = form
        return plan.without(chosen), chosen

    def write(self, done: Quantized, recipe: Recipe, path: str, progress: Progress) -> list[float]:
        """Export with the shapes of the example inputs."""
        from smalti.export.tflite import export_tflite

        return export_tflite(
            done.module,
            recipe.example_inputs(),
            path,
            layers=done.layers,
            engine_formats=done.engine_formats,
            progress=progress,
        )


def _check(name: str, layer: nn.Module, form: BlockFormat) -> None:
    if form.kind not in ("int8", "int4"):
        raise PlanError(f"{name}: LiteRT has no {form}; use a vq format, int8 or int4")
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        raise PlanError(
            f"{name}: LiteRT stores no {type(layer).__name__} in {form}; use a vq format"
        )
    if form.kind == "int4" and isinstance(layer, nn.Conv2d):
        raise PlanError(f"{name}: LiteRT has no convolution in {form}; use a vq format or int8")


def target_for(
    kind: str | None, path: str, fallback: str | None, native: Sequence[str] = ()
) -> Target:
    """Return the target by its name, or by the suffix of the file to write.

    Raises:
        PlanError: a fallback for a file that cannot have one, or operators that cannot be chosen.
    """
    if (kind or ("tflite" if path.endswith(".tflite") else "onnx")) == "onnx":
        for name in native:
            if name not in OURS:
                raise PlanError(f"operator {name!r}; ours may be {' or '.join(OURS)}")
        return Onnx(fallback or "fold", tuple(native))
    if fallback is not None:
        raise PlanError("a .tflite file has no fallback; leave --fallback out")
    return TFLite()
