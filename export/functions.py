"""Torch functions that become operators of ours while a module is traced."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from smalti.runtime.errors import SmaltiError
from smalti.runtime.ops.grid_sample.op import grid_sample
from smalti.runtime.ops.resize.op import CUBIC, LINEAR, resize

Replacement = Callable[..., Tensor | None]

_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
_PADDING = {"zeros": 0, "border": 1, "reflection": 2}
_RESIZED = {"bilinear": LINEAR, "bicubic": CUBIC}


class ConversionError(SmaltiError):
    """A module that cannot become a file of the kind that was asked for."""

    exit_code = 2


class Checked(TorchFunctionMode):
    """A mode whose refusals name the layer that calls, and come out of exporters as they are."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._names = {id(layer): name for name, layer in module.named_modules() if name}
        self._refused: ConversionError | None = None

    def call(self, func: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call a function of Torch, or what stands for it."""
        raise NotImplementedError

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Replace a call, or let it through."""
        try:
            return self.call(func, types, args, kwargs or {})
        except ConversionError as error:
            if self._refused is None:  # an exporter that tries again may call it otherwise
                self._refused = ConversionError(f"{self._layer()}: {error}")
            raise self._refused from None

    def __exit__(self, *error: Any) -> None:
        """Leave the mode; a refusal that exporters wrapped into one of theirs comes out again."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        if error[1] is not None and self._refused is not None:
            raise self._refused from None

    def _layer(self) -> str:
        """Name of the innermost module among those that are being called."""
        frame = sys._getframe()
        while frame is not None:
            name = self._names.get(id(frame.f_locals.get("self")))
            if name:
                return str(name)
            frame = frame.f_back  # type: ignore[assignment]
        return "the model"


class Functions(Checked):
    """Inside this mode, functions of Torch are those of a table; one that gives None stays."""

    def __init__(self, module: nn.Module, table: Mapping[Any, Replacement]) -> None:
        super().__init__(module)
        self._table = table

    def call(self, func: Any, types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call the function of the table, then Torch's."""
        replaced = self._table.get(func)
        found = replaced(*args, **kwargs) if replaced else None
        return func(*args, **kwargs) if found is None else found


def _is_last(x: Tensor) -> bool:
    """Whether channels lie last in memory, as after `permute` from (N, H, W, C)."""
    return x.stride(1) == 1 and x.shape[1] > 1 and x.stride(-1) != 1


def sampled(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Call GridSample as `torch.nn.functional.grid_sample`, channels last where they are last."""
    attributes = (_MODES[mode], _PADDING[padding_mode], bool(align_corners))
    if _is_last(input):
        return grid_sample.call(input.movedim(1, -1), grid, *attributes, True).movedim(-1, 1)
    return grid_sample.call(input, grid, *attributes, False)


@dataclass(frozen=True)
class Interpolation:
    """A call of `torch.nn.functional.interpolate`, with its names and defaults."""

    input: Tensor
    size: Any = None
    scale_factor: Any = None
    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None
    antialias: bool = False

    @property
    def axes(self) -> int:
        """How many axes are resized."""
        return self.input.dim() - 2

    @property
    def factors(self) -> list[float] | None:
        """Torch's coordinates follow these; from the sizes alone where there are none."""
        if self.size is not None or self.recompute_scale_factor:
            return None
        return [float(f) for f in self._each(self.scale_factor)]

    @property
    def sizes(self) -> list[int]:
        """Of the output."""
        if self.size is not None:
            return list(self._each(self.size))
        return [int(n) for n in self._products()]

    @property
    def by_sizes(self) -> bool:
        """Whether coordinates follow from the sizes alone, as in Resize and in LiteRT."""
        return not self.factors or bool(self.align_corners) or self._products() == self.sizes

    def check_by_sizes(self) -> None:
        """Refuse other coordinates.

        Raises:
            ConversionError: names the mode, the sizes and the mend.
        """
        if not self.by_sizes:
            raise ConversionError(
                f"interpolate: {self.mode} to {self._products()} pixels; give size, or "
                "recompute_scale_factor=True"
            )

    def resized(self) -> Tensor:
        """Call Resize, channels last where they are last."""
        attributes = (self.sizes, _RESIZED[self.mode], bool(self.align_corners))
        if _is_last(self.input):
            return resize.call(self.input.movedim(1, -1), *attributes, True).movedim(-1, 1)
        return resize.call(self.input, *attributes, False)

    def _each(self, value: Any) -> Sequence[Any]:
        return value if isinstance(value, list | tuple) else [value] * self.axes

    def _products(self) -> list[float]:
        factors = self._each(self.scale_factor)
        return [n * f for n, f in zip(self.input.shape[2:], factors, strict=True)]
