"""Makes a plan: the formats that lose least within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from smalti.quant.budget import Allocation, BudgetError, solve
from smalti.quant.plan import Plan
from smalti.quant.sensitivity import LINEAR_BELOW, Cost
from smalti.quant.targets import layers_with_weights, weight_of

DEFAULT_FORMATS = ("vq-4x256-g128", "vq-2x64-g128", "vq-2x256-g128", "int8-g128")


@dataclass(frozen=True)
class Budget:
    """One limit: of the file's weights in bytes, of bits a weight, or of the predicted drop."""

    max_bytes: int | None = None
    bits: float | None = None
    max_drop: float | None = None

    def __str__(self) -> str:
        if self.max_bytes is not None:
            return f"{self.max_bytes / 1e6:g} MB"
        return f"{self.bits:g} bits a weight" if self.bits else f"a drop of {self.max_drop:g}"


@dataclass(frozen=True)
class Planned:
    """A plan and what is predicted of it.

    costs: by layer, the choice taken; rest: bytes of everything that stays in float; linear:
    whether no layer loses so much that drops no longer add up.
    """

    plan: Plan
    allocation: Allocation
    chosen: dict[str, Cost]
    rest: int
    linear: bool

    @property
    def bytes(self) -> int:
        """All weights in the file."""
        return self.allocation.bytes + self.rest

    @property
    def gap(self) -> float:
        """The most by which another plan could have a smaller drop, relative."""
        drop = self.allocation.drop
        return 1 - self.allocation.lower_bound / drop if drop > 0 else 0.0


def make_plan(module: nn.Module, costs: Mapping[str, Sequence[Cost]], budget: Budget) -> Planned:
    """Choose a format for every layer of `costs`; all other layers stay in float.

    Raises:
        BudgetError: no plan keeps the budget; the message says what is possible.
    """
    rest = _float_bytes(module, costs)
    choices = {name: [cost.choice for cost in ways] for name, ways in costs.items()}
    found = solve(choices, max_bytes=_limit(module, costs, budget, rest), max_drop=budget.max_drop)
    chosen = {
        name: next(c for c in costs[name] if c.choice.format == form)
        for name, form in found.formats.items()
    }
    linear = all(cost.error <= LINEAR_BELOW for cost in chosen.values())
    return Planned(_plan(module, found), found, chosen, rest, linear)


def _float_bytes(module: nn.Module, costs: Mapping[str, Sequence[Cost]]) -> int:
    """Parameters and buffers that no choice is about; tied ones count once."""
    layers = dict(module.named_modules())
    planned = {id(weight_of(layers[name])) for name in costs}
    tensors = {id(t): t.nbytes for t in [*module.parameters(), *module.buffers()]}
    return sum(size for key, size in tensors.items() if key not in planned)


def _limit(
    module: nn.Module, costs: Mapping[str, Sequence[Cost]], budget: Budget, rest: int
) -> int | None:
    """Bytes for the layers of `costs`."""
    layers = dict(module.named_modules())
    if budget.bits is not None:
        return int(budget.bits / 8 * sum(weight_of(layers[name]).numel() for name in costs))
    if budget.max_bytes is None:
        return None
    if budget.max_bytes < rest:
        raise BudgetError(
            f"{budget} are less than the {rest:,} bytes that stay in float; allow more"
        )
    return budget.max_bytes - rest


def _plan(module: nn.Module, found: Allocation) -> Plan:
    """One line a layer; layers that share a weight get the same."""
    names: dict[int, list[str]] = {}
    for name, layer in layers_with_weights(module):
        names.setdefault(id(weight_of(layer)), []).append(name)
    formats = {
        name: found.formats[tied[0]]
        for tied in names.values()
        if tied[0] in found.formats
        for name in tied
    }
    return Plan.of(formats)
