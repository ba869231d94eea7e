"""What ours has to reach: ratios of medians in one run, and shares of the memory's rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.matmul.task import Task

Measured = dict[str, float]  # name of a candidate -> Gweights/s (times rows of x)


@dataclass(frozen=True)
class Goal:
    """`ours` has to be `bar` times as fast as the fastest whose name begins with one of `peers`."""

    ours: str
    peers: tuple[str, ...]
    bar: float

    @property
    def name(self) -> str:
        """Whom it is measured by."""
        return f"{self.ours} / {' or '.join(self.peers)}"

    def value(self, found: Measured) -> float | None:
        """Return the ratio; None where all peers are absent."""
        peers = [speed for name, speed in found.items() if name.startswith(self.peers)]
        return found[self.ours] / max(peers) if peers and self.ours in found else None


TWO, THREE, FOUR = "smalti vq-2x16", "smalti vq-2x64", "smalti vq-1x16"
_TWO_BITS = ("onnxruntime 2-bit", "openvino 2-bit", "ggml Q2_K", "ggml IQ2", "ggml TQ2")
_FOUR_BITS = (
    "onnxruntime 4-bit",
    "openvino 4-bit",
    "ggml Q4",
    "ggml IQ4",
    "litert int4",
    "torch int4",
)
_ORT2, _ORT4 = "onnxruntime 2-bit, blocks of 128", "onnxruntime 4-bit, blocks of 128"
_ORT8 = "onnxruntime int8 dynamic"

_HOT = (Goal(TWO, _TWO_BITS, 1.5), Goal(FOUR, _FOUR_BITS, 1.25))
_DRAM = (Goal(TWO, ("onnxruntime 2-bit",), 1.8), Goal(FOUR, _FOUR_BITS, 1.4))
_ALWAYS = (
    Goal(THREE, ("ggml Q3_K",), 3.5),
    Goal(THREE, ("ggml IQ3_XXS",), 9.0),
    Goal(FOUR, ("ggml IQ4_NL",), 2.7),
)
_SMALL = (Goal(TWO, (_ORT2,), 2.0), Goal(FOUR, (_ORT4,), 1.4))
ROOFLINE = 0.85  # of what memory gives, for 2 and 3 bits


def goals(task: Task) -> Sequence[Goal]:
    """Return the goals of a task."""
    if task.columns < 1024:
        return _SMALL
    if task.batch == 1:
        return (*(_DRAM if task.dram else _HOT), *_ALWAYS)
    if task.batch == 8:
        return tuple(Goal(ours, ("openvino", _ORT8), 1.0) for ours in (TWO, THREE, FOUR))
    return tuple(
        goal
        for ours in (TWO, THREE, FOUR)
        for goal in (Goal(ours, (_ORT4, _ORT2), 1.8), Goal(ours, (_ORT8,), 1.0))
    )


def met(
    task: Task, threads: int, found: Measured, roofs: dict[str, float]
) -> Iterator[dict[str, object]]:
    """Yield every goal with its value; roofs: Gweights/s that memory gives."""
    rows = [(goal.name, goal.value(found), goal.bar) for goal in goals(task)]
    if task.dram:
        shares = [(name, found[name] / roofs[name]) for name in (TWO, THREE) if name in found]
        rows += [(f"{name} / memory", share, ROOFLINE) for name, share in shares]
    for name, value, bar in rows:
        yield {
            "name": f"{task.name}: {name}",
            "threads": threads,
            "value": value,
            "bar": bar,
            "met": value is not None and value >= bar,
        }
