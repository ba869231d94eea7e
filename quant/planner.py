"""Makes a plan: the formats that lose least within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from smalti.quant.budget import Allocation, BudgetError, Choice, solve
from smalti.quant.plan import FLOAT, Plan
from smalti.quant.sensitivity import LINEAR_BELOW, Cost
from smalti.quant.targets import layers_with_weights, weight_of

DEFAULT_FORMATS = ("vq-4x256-g128", "vq-2x64-g128", "vq-2x256-g128", "int8-g128")


@dataclass(frozen=True)
class Budget:
    """Limits: of weights in bytes, of bits a weight or of the predicted drop, at most one of them.

    On a device also of milliseconds, and of memory in bytes, which is another limit of weights.
    """

    max_bytes: int | None = None
    bits: float | None = None
    max_drop: float | None = None
    max_ms: float | None = None
    max_ram: int | None = None

    def __str__(self) -> str:
        limits = {
            f"{(self.max_bytes or 0) / 1e6:g} MB": self.max_bytes,
            f"{self.bits:g} bits a weight" if self.bits else "": self.bits,
            f"a drop of {self.max_drop or 0:g}": self.max_drop,
            f"{self.max_ms or 0:g} ms": self.max_ms,
            f"{(self.max_ram or 0) / 1e6:g} MB of memory": self.max_ram,
        }
        return ", ".join(text for text, limit in limits.items() if limit is not None)


@dataclass(frozen=True)
class Rest:
    """What everything takes on a device beside the planned layers' weights; ram: bytes."""

    ms: float = 0.0
    ram: int = 0


_NOTHING = Rest()
_ELSE = "all else"


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


def make_plan(
    module: nn.Module, costs: Mapping[str, Sequence[Cost]], budget: Budget, beside: Rest = _NOTHING
) -> Planned:
    """Choose a format for every layer of `costs`; all other layers stay in float.

    beside: what the limits of time and memory have to leave room for.

    Raises:
        BudgetError: no plan keeps the budget; the message says what is possible.
    """
    rest = float_bytes(module, costs)
    choices = {name: [cost.choice for cost in ways] for name, ways in costs.items()}
    limit = _limit(module, costs, budget, rest, beside)
    # Counted as one more layer, so that sums and messages are of the whole model.
    choices[_ELSE] = [Choice(FLOAT, 0, 0.0, beside.ms)]
    found = solve(choices, max_bytes=limit, max_drop=budget.max_drop, max_ms=budget.max_ms)
    del found.formats[_ELSE]
    chosen = {
        name: next(c for c in costs[name] if c.choice.format == form)
        for name, form in found.formats.items()
    }
    linear = all(cost.error <= LINEAR_BELOW for cost in chosen.values())
    return Planned(_plan(module, found), found, chosen, rest, linear)


def float_bytes(module: nn.Module, costs: Mapping[str, Sequence[Cost]]) -> int:
    """Return the bytes of parameters and buffers that no cost is about; tied ones count once."""
    layers = dict(module.named_modules())
    planned = {id(weight_of(layers[name])) for name in costs}
    tensors = {id(t): t.nbytes for t in [*module.parameters(), *module.buffers()]}
    return sum(size for key, size in tensors.items() if key not in planned)


def _limit(
    module: nn.Module,
    costs: Mapping[str, Sequence[Cost]],
    budget: Budget,
    rest: int,
    beside: Rest,
) -> int | None:
    """Bytes for the layers of `costs`; without a limit but time, all they could have."""
    layers = dict(module.named_modules())
    if budget.bits is not None:
        return int(budget.bits / 8 * sum(weight_of(layers[name]).numel() for name in costs))
    if budget.max_drop is not None:
        return None
    limits = []
    if budget.max_bytes is not None:
        limits.append(budget.max_bytes - rest)
    if budget.max_ram is not None:
        limits.append(budget.max_ram - rest - beside.ram)
    if not limits:
        return sum(max(cost.choice.bytes for cost in ways) for ways in costs.values())
    if min(limits) < 0:
        tensors = f" and the {beside.ram:,} of tensors" if beside.ram else ""
        raise BudgetError(
            f"{budget}: less than the {rest:,} bytes that stay in float{tensors}; allow more"
        )
    return min(limits)


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
