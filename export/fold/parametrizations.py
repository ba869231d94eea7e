"""Weights that are computed at every call: what they come to, as plain weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from smalti.export.fold.parts import Call, Folded, kept, record, size_of, why_not_same, why_tied

KIND = "parametrization"


def fold_parametrizations_(root: nn.Module, inputs: Sequence[Tensor]) -> list[Folded]:
    """Take off `torch.nn.utils.parametrize`, and weight_norm and spectral_norm of the old style.

    Orthogonal (Cayley and others), weight-normalized, spectrally normalized: any computation.
    """
    parts = {name: part for name, part in root.named_modules() if _is_computed(part)}
    calls = record(root, inputs, parts.values()) if parts else {}
    return [_folded(root, name, part, calls[part]) for name, part in parts.items()]


def _is_computed(part: nn.Module) -> bool:
    return parametrize.is_parametrized(part) or bool(_old_style(part))


def _old_style(part: nn.Module) -> list[WeightNorm | SpectralNorm]:
    hooks = part._forward_pre_hooks.values()
    return [hook for hook in hooks if isinstance(hook, WeightNorm | SpectralNorm)]


def _folded(root: nn.Module, name: str, part: nn.Module, calls: Sequence[Call]) -> Folded:
    plain = copy.deepcopy(part)
    _take_off(plain)
    error, reason = why_not_same(plain, calls)
    reason = reason or why_tied(root, _holders(part))
    if reason:
        return kept(name, KIND, part, reason)
    before = size_of(part)
    _take_off(part)
    return Folded(name, KIND, error, before, size_of(part))


def _holders(part: nn.Module) -> list[nn.Module]:
    """The modules whose own tensors the weights are computed from."""
    found = [part] if _old_style(part) else []
    if parametrize.is_parametrized(part):
        assert isinstance(part.parametrizations, nn.ModuleDict)
        found += part.parametrizations.modules()
    return found


@torch.no_grad()
def _take_off(part: nn.Module) -> None:
    for hook in _old_style(part):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(part, hook.name)
        else:
            remove_spectral_norm(part, hook.name)
    if parametrize.is_parametrized(part):
        assert isinstance(part.parametrizations, nn.ModuleDict)
        part.__class__ = _own_class(type(part))
        for name, computed in list(part.parametrizations.items()):
            trained = next(computed.parameters(), None) is not None
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
            if trained and name in part._buffers:  # without gradients Torch makes it one
                value = part.get_buffer(name)
                delattr(part, name)
                part.register_parameter(name, nn.Parameter(value))
    # Matrices first, as the layer's class has them: what was computed has come last.
    found = sorted(part._parameters.items(), key=lambda item: item[1] is None or item[1].dim() < 2)
    part._parameters.clear()
    part._parameters.update(found)


def _own_class(shared: type) -> type:
    """A twin of the class that Torch made for one layer: taking off changes it, for copies too."""
    slots = ("__dict__", "__weakref__")
    members = {name: member for name, member in vars(shared).items() if name not in slots}
    return type(shared.__name__, shared.__bases__, members)
