"""Adapters that know how to merge themselves into the layer that they adapt."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor, nn

from smalti.export.fold.parts import Call, Folded, exchange, record

KIND = "adapter"


class Adapter(Protocol):
    """A module around a layer that it changes."""

    def merge(self) -> None:
        """Add the change to the layer's weights, once."""
        ...

    def get_base_layer(self) -> nn.Module:
        """Return the layer."""
        ...


def fold_adapters_(root: nn.Module, inputs: Sequence[Tensor]) -> list[Folded]:
    """Merge modules that have `merge()` and `get_base_layer()`, as those of the package peft do.

    Adapters without these methods are affine modules, which are folded as such.
    """
    parts = {name: part for name, part in root.named_modules() if _is_adapter(part)}
    calls = record(root, inputs, parts.values()) if parts else {}
    found = []
    for name, part in parts.items():
        if any(name.startswith(f"{outer}.") for outer in parts if outer):
            continue  # goes with the one around it
        found.append(_folded(root, name, part, calls[part]))
    return found


def _is_adapter(part: nn.Module) -> bool:
    return all(callable(getattr(part, name, None)) for name in ("merge", "get_base_layer"))


def _folded(root: nn.Module, name: str, part: nn.Module, calls: Sequence[Call]) -> Folded:
    merged = cast(Adapter, copy.deepcopy(part))
    merged.merge()
    return exchange(root, name, KIND, part, merged.get_base_layer(), calls)
