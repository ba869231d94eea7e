"""What the folds share: recorded calls, errors, sizes, and one layer in the place of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from smalti.quant.observe import tensors
from smalti.runtime.errors import SmaltiError


class FoldError(SmaltiError, ValueError):
    """A module that cannot be folded as asked."""

    exit_code = 2


@dataclass(frozen=True)
class Folded:
    """What became of one layer.

    kind: what was folded, such as `batch norm`. error: ||new - old|| / ||old|| of the layer's
    output for the example inputs. bytes_before, bytes_after: of its parameters and buffers.
    reason: why it stays as it was; empty where it was folded.
    """

    name: str
    kind: str
    error: float
    bytes_before: int
    bytes_after: int
    reason: str = ""


@dataclass
class Call:
    """Arguments and result of one call of a layer, as they were then."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any = None


Calls = Mapping[nn.Module, list[Call]]


def copied(values: Any) -> Any:
    """Copies of all tensors in nested values: layers may work in place."""
    return tree_map_only(Tensor, lambda t: t.detach().clone(), values)


@torch.no_grad()
def run(module: nn.Module, inputs: Sequence[Any]) -> Any:
    """The module's outputs for copies of the inputs."""
    return copied(module(*copied(tuple(inputs))))


def record(root: nn.Module, inputs: Sequence[Any], parts: Iterable[nn.Module]) -> Calls:
    """Run the module once; return the calls of some of its parts."""
    calls: dict[nn.Module, list[Call]] = {part: [] for part in parts}

    def before(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls[part].append(Call(copied(args), copied(kwargs)))

    def after(part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        calls[part][-1].output = copied(output)

    handles = [p.register_forward_pre_hook(before, with_kwargs=True) for p in calls]
    handles += [p.register_forward_hook(after, with_kwargs=True) for p in calls]
    try:
        run(root, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def relative_error(found: Tensor, expected: Tensor) -> float:
    """||found - expected|| / ||expected||, in float64; infinite where shapes or NaN differ."""
    if found.shape != expected.shape or not torch.equal(found.isnan(), expected.isnan()):
        return float("inf")
    wide = torch.complex128 if expected.is_complex() else torch.float64
    a, b = found.detach().to(wide).nan_to_num(), expected.detach().to(wide).nan_to_num()
    return float((a - b).norm() / b.norm()) if b.norm() > 0 else float((a - b).norm())


def limit_of(output: Tensor) -> float:
    """What rounding alone may change: 1e-6 in float64, about 1e-5 in float32."""
    eps = torch.finfo(output.dtype).eps if output.is_floating_point() else 0.0
    return max(1e-6, 100 * eps)


def why_not_same(
    new: nn.Module, calls: Sequence[Call], limit: float | None = None
) -> tuple[float, str]:
    """Largest error of a layer that is to give what the calls gave, and what is wrong with it.

    limit: of the error; by default what rounding may change.
    """
    if not calls:
        return 0.0, "no call with the example inputs reaches it"
    worst = 0.0
    for call in calls:
        with torch.no_grad():
            found = new(*copied(call.args), **copied(call.kwargs))
        for a, b in zip(tensors(found), tensors(call.output), strict=True):
            error = relative_error(a, b)
            worst = max(worst, error)
            if not error <= (limit_of(b) if limit is None else limit):
                return error, f"folding would change its output by {error:.2g} of its size"
    return worst, ""


def size_of(*parts: nn.Module) -> int:
    """Bytes of all parameters and buffers; those that parts share count once."""
    found = {id(t): t.nbytes for part in parts for t in [*part.parameters(), *part.buffers()]}
    return sum(found.values())


def why_bound(root: nn.Module, part: nn.Module) -> str:
    """Why a part cannot be taken out of the module: something else holds on to it."""
    inside = list(part.modules())
    if any(m._forward_hooks or m._forward_pre_hooks for m in inside):
        return "it has hooks, which would no longer be called; remove them"
    return why_tied(root, inside)


def why_tied(root: nn.Module, inside: Sequence[nn.Module]) -> str:
    """Why the tensors of some modules have to stay: others share them."""
    own = {id(t) for part in inside for t in _direct(part)}
    for name, other in root.named_modules():
        if other not in inside and any(id(t) in own for t in _direct(other)):
            return f"it shares weights with {name or 'the module'}, and would store them twice"
    return ""


def _direct(part: nn.Module) -> list[Tensor]:
    return [*part.parameters(recurse=False), *part.buffers(recurse=False)]


def put(root: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a layer where another is, at all places."""
    for path, child in list(root.named_modules(remove_duplicate=False)):
        if child is old:
            parent, _, name = path.rpartition(".")
            setattr(root.get_submodule(parent), name, new)


def kept(name: str, kind: str, part: nn.Module, reason: str) -> Folded:
    """Report that a layer stays as it was."""
    return Folded(name, kind, 0.0, size_of(part), size_of(part), reason)


def exchange(
    root: nn.Module,
    name: str,
    kind: str,
    old: nn.Module,
    new: nn.Module,
    calls: Sequence[Call],
    limit: float | None = None,
) -> Folded:
    """Put `new` in the place of `old` if nothing is bound to that and the calls give the same."""
    error, reason = why_not_same(new, calls, limit)
    reason = reason or why_bound(root, old)
    if not name:
        reason = "a module cannot replace itself in place; wrap it, as in nn.Sequential(layer)"
    if reason:
        return kept(name, kind, old, reason)
    put(root, old, new.eval())
    return Folded(name, kind, error, size_of(old), size_of(new))
