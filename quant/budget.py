"""Which layer gets which format: the smallest drop in a byte budget, or the reverse.

A drop is what a choice costs in the model's metric; drops of layers add up while they are small.
To minimise their sum under a budget is the multiple-choice knapsack problem. Beside the solution
stands the Lagrangian bound, which no allocation can beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from smalti.runtime.errors import SmaltiError

_LARGEST = 2.0**53  # beyond it float64 no longer counts single bytes
_DRAFT = 1 << 12  # sums kept a layer for a good guess
_MOST, _EFFORT = 1 << 17, 1 << 23  # sums a layer, and sorted in all, before the proof is given up
_STEEPEST = 1e200  # a price beyond this overflows; only denormal numbers make one
_SLACK = 1e-9  # of what is compared: rounding must not cut the best allocation off
_Column = list[NDArray[np.float64]]  # an array a layer, one number a choice


class BudgetError(SmaltiError, ValueError):
    """A budget that no allocation meets, or choices that make no sense."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Choice:
    """A layer in one format: its size, its drop in the metric (>= 0), its time in milliseconds."""

    format: str
    bytes: int
    drop: float
    ms: float = 0.0


@dataclass(frozen=True)
class Allocation:
    """A format for every layer, and the sums over the layers.

    lower_bound: no allocation within the budgets has a lower drop (fewer bytes, where the drop
    is limited). exact: this one is the best there is, also where the bound is lower.
    """

    formats: dict[str, str]
    bytes: int
    drop: float
    ms: float
    lower_bound: float
    exact: bool


def solve(
    choices: Mapping[str, Sequence[Choice]],
    *,
    max_bytes: int | None = None,
    max_drop: float | None = None,
    max_ms: float | None = None,
) -> Allocation:
    """Pick one choice a layer: the least drop in `max_bytes`, or the fewest bytes in `max_drop`.

    The result is exact unless the search outgrows its memory; then `exact` is false, and the
    result is at least as good as the best of a budget that is tighter by 1/4096 for each layer.
    Equal results go to the smaller one.

    max_ms: a limit on the time too, by a Lagrangian. The result keeps both limits and is the best
    of all that take no longer than itself; where time is scarce, `exact` is false.

    Raises:
        BudgetError: no allocation keeps the limits (the message says what is possible); not
            exactly one of `max_bytes` and `max_drop`; a layer without choices, or with a number
            that is negative or not finite.
    """
    _check(choices)
    if (max_bytes is None) == (max_drop is None):
        raise BudgetError("limit either max_bytes or max_drop; the other one is minimised")
    sizes = [np.array([float(c.bytes) for c in layer]) for layer in choices.values()]
    drops = [np.array([float(c.drop) for c in layer]) for layer in choices.values()]
    times = [np.array([float(c.ms) for c in layer]) for layer in choices.values()]
    if max_bytes is not None:
        costs, weights, limit = drops, sizes, _limit("bytes", max_bytes, sizes)
    else:
        costs, weights, limit = sizes, drops, _limit("drop", max_drop, drops)
    most_ms = inf if max_ms is None else _limit("ms", max_ms, times)
    found = _in_time(costs, weights, limit, times, most_ms)
    return Allocation(
        {name: choices[name][i].format for name, i in zip(choices, found.picks, strict=True)},
        int(_total(sizes, found.picks)),
        _total(drops, found.picks),
        _total(times, found.picks),
        min(found.bound, found.cost),
        found.exact,
    )


def _check(choices: Mapping[str, Sequence[Choice]]) -> None:
    if not choices:
        raise BudgetError("no layers to choose formats for; the model has none that smalti packs")
    for layer, options in choices.items():
        if not options:
            raise BudgetError(f"layer {layer}: no formats to choose from; offer at least float")
        for choice in options:
            for unit in ("bytes", "drop", "ms"):
                value = getattr(choice, unit)
                if not 0 <= value < _LARGEST:  # false for NaN, too
                    raise BudgetError(
                        f"layer {layer}: {choice.format} has {unit} = {value}; "
                        "it must be finite and at least 0"
                    )


def _limit(unit: str, limit: float | None, column: _Column) -> float:
    """Return a limit as a float; refuse one that the smallest choices exceed."""
    least = _total(column, [int(layer.argmin()) for layer in column])
    if limit is None or not limit >= least:
        raise BudgetError(
            f"max_{unit} = {limit} is out of reach: the smallest choice of every layer makes "
            f"{least:.17g} {unit}; allow at least that, or offer more formats"
        )
    return float(min(limit, _LARGEST))


def _total(column: _Column, picks: Sequence[int]) -> float:
    """Add up in the order of the layers, as the search does, so that limits compare exactly."""
    return float(np.cumsum([layer[i] for layer, i in zip(column, picks, strict=True)])[-1])


@dataclass(frozen=True)
class _Found:
    """One choice a layer, its sums, and what is proven of it."""

    cost: float
    weight: float
    picks: list[int]
    bound: float = 0.0
    exact: bool = False


def _in_time(
    costs: _Column, weights: _Column, limit: float, times: _Column, most_ms: float
) -> _Found:
    """Find the price of a millisecond at which the best allocation is fast enough."""

    def priced(price: float) -> _Found:
        mixed = [c + price * t for c, t in zip(costs, times, strict=True)]
        return timed(_knapsack(mixed, weights, limit))

    def timed(found: _Found) -> _Found:
        """The same with time as weight; the bound stays that of cost and priced time."""
        cost, ms = _total(costs, found.picks), _total(times, found.picks)
        return replace(found, cost=cost, weight=ms)

    free = priced(0.0)
    if free.weight <= most_ms:
        return free
    fastest = timed(_knapsack(times, weights, limit))
    if fastest.weight > most_ms:
        raise BudgetError(
            f"max_ms = {most_ms:g} is out of reach within the other limit: the fastest allocation "
            f"takes {fastest.weight:.17g} ms; allow that, or raise the other limit"
        )
    best, relaxed, price = _exchange(priced, free, fastest, most_ms)
    bound = max(free.bound, relaxed.bound - price * most_ms)
    return replace(best, bound=bound, exact=False)


def _knapsack(costs: _Column, weights: _Column, limit: float) -> _Found:
    """Minimise the sum of costs while the sum of weights keeps the limit; ties go to less weight.

    The lightest choices together must keep the limit.
    """

    def point(picks: list[int]) -> _Found:
        return _Found(_total(costs, picks), _total(weights, picks), picks)

    def priced(price: float) -> _Found:
        return point([int((c + price * w).argmin()) for c, w in zip(costs, weights, strict=True)])

    layers = list(zip(costs, weights, strict=True))
    free = point([int(np.lexsort((w, c))[0]) for c, w in layers])
    if free.weight <= limit:
        return replace(free, bound=free.cost, exact=True)
    lightest = point([int(np.lexsort((c, w))[0]) for c, w in layers])
    best, relaxed, price = _exchange(priced, free, lightest, limit)
    bound = relaxed.cost + price * (relaxed.weight - limit)
    for thin in (True, False):
        picks, exact = _search(costs, weights, limit, price, best, thin)
        if picks:
            best = min(best, point(picks), key=lambda found: (found.cost, found.weight))
        if exact:
            break
    return replace(best, bound=bound, exact=exact)


def _exchange(
    priced: Callable[[float], _Found], free: _Found, within: _Found, limit: float
) -> tuple[_Found, _Found, float]:
    """Find the price of weight that makes the tightest Lagrangian bound.

    `free` is the optimum at price 0 and too heavy, `within` keeps the limit. At the price that
    makes both cost the same, either some other point costs less and replaces one of them, or the
    price is the one.

    Returns:
        The best point within the limit that was seen, the optimum at the price, and the price.
    """
    while True:
        price = max(0.0, (within.cost - free.cost) / (free.weight - within.weight))
        if price > _STEEPEST:
            return within, free, 0.0
        found = priced(price)
        level = free.cost + price * free.weight
        if found.cost + price * found.weight >= level * (1 - 1e-12):
            return within, found, price
        if found.weight <= limit:
            within = found
        else:
            free = found


def _search(
    costs: _Column, weights: _Column, limit: float, price: float, known: _Found, thin: bool
) -> tuple[list[int] | None, bool]:
    """Walk the layers with all sums (weight, cost) that may lead to an optimum, lightest first.

    A sum goes if a lighter one costs no more, if the lightest rest does not fit beside it, or if
    its priced cost and the least of the rest exceed that of a full budget at the `known` cost:
    by the Lagrangian bound nothing better starts so. Where they are still too many, `thin` keeps
    the cheapest in every 4096th of their range; without it, the search gives up.

    Returns:
        The best picks found, None for none, and whether they are the best there are.
    """
    ceiling = (known.cost + price * limit) * (1 + _SLACK)
    light = [float(w.min()) for w in weights]
    least = [float((c + price * w).min()) for c, w in zip(costs, weights, strict=True)]
    weight, cost, exact, spent = np.zeros(1), np.zeros(1), True, 0
    steps = []  # a layer: the (choice, earlier sum) of each sum, in one number; how many earlier
    for i, (c, w) in enumerate(zip(costs, weights, strict=True)):
        heavier, dearer = (w[:, None] + weight).ravel(), (c[:, None] + cost).ravel()
        kept = np.flatnonzero(
            (heavier + sum(light[i + 1 :]) <= limit * (1 + _SLACK))
            & (dearer + price * heavier + sum(least[i + 1 :]) <= ceiling)
        )
        spent += kept.size
        kept = kept[_front(heavier[kept], dearer[kept])]
        if thin and kept.size > _DRAFT:
            kept, exact = kept[_cheapest_of_bins(heavier[kept], _DRAFT)], False
        if kept.size > _MOST or (spent > _EFFORT and not thin):
            return None, False
        steps.append((kept.astype(np.int32), weight.size))
        weight, cost = heavier[kept], dearer[kept]
    at = int(np.searchsorted(weight, limit, side="right")) - 1  # the heaviest is the cheapest
    return (_trace(steps, at) if at >= 0 else None), exact


def _trace(steps: list[tuple[NDArray[np.int32], int]], at: int) -> list[int]:
    """Follow a sum back to the choices that made it."""
    picks = []
    for kept, earlier in reversed(steps):
        choice, at = divmod(int(kept[at]), earlier)
        picks.append(choice)
    return picks[::-1]


def _front(weight: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the points that no other beats in both, by rising weight and falling cost."""
    order = np.argsort(weight, kind="stable")  # fast: a sorted run for every choice
    falling = cost[order]
    order = order[falling < np.minimum.accumulate(np.append(np.inf, falling[:-1]))]
    return order[np.diff(weight[order], append=np.inf) > 0]  # of equal weights the cheapest


def _cheapest_of_bins(weight: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Indices of the heaviest, hence cheapest, point in each of `count` equal ranges of weight."""
    bins = np.floor((weight - weight[0]) * (count / (weight[-1] - weight[0])))
    return np.flatnonzero(np.diff(bins, append=np.inf))
