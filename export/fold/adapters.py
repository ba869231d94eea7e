"""Adapters that know how to merge themselves into the layer that they adapt."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from smalti.export.fold.parts import Call, Folded, exchange, kept, record

KIND = "adapter"


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
    merged = copy.deepcopy(part)
    merged.get_submodule("").merge()
    layer = merged.get_submodule("").get_base_layer()
    if not isinstance(layer, nn.Module):
        return kept(name, KIND, part, f"get_base_layer() gives {type(layer).__name__}")
    return exchange(root, name, KIND, part, layer, calls)
