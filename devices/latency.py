"""Predicts a file's time and memory on a device: a roofline, node by node.

A node takes as long as its arithmetic or its memory traffic, whichever is longer (Williams,
Waterman, Patterson 2009), and a fixed time for the engine to get there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from smalti.devices.graph import Graph
from smalti.devices.memory import Memory, memory
from smalti.devices.profile import Device
from smalti.devices.speeds import Speeds, speeds
from smalti.devices.work import Part, Work, works


@dataclass(frozen=True)
class Line:
    """A node's prediction. kind: of most of its work; bytes: its weights; limit: what it waits for."""

    layer: str
    op: str
    kind: str
    rows: int
    macs: int
    bytes: int
    ms: float
    limit: str


@dataclass(frozen=True)
class Prediction:
    """A file on a device. measured: whether the rates are; unknown: operators without a model."""

    device: str
    threads: int
    measured: bool
    ms: float
    memory: Memory
    lines: list[Line]
    unknown: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def predict(graph: Graph, device: Device, threads: int | None = None) -> Prediction:
    """Predict one run, with memory warm; threads: None for one a core of the fastest kind.

    Raises:
        DeviceError: the profile has neither measured rates nor what they derive from.
    """
    fast = speeds(device, threads)
    todo = list(works(graph))
    clock = Clock(fast, device, sum(work.weights for work in todo))
    lines = [clock.line(work) for work in todo]
    ms = sum(line.ms for line in lines) + fast.run_us / 1e3
    found = memory(graph, todo, fast.threads)
    return Prediction(
        device.name, fast.threads, fast.measured, ms, found, lines, unknown(todo)
    )


class Clock:
    """Times nodes of a model whose weights have `weights` bytes in all.

    Weights that fit the last level of cache stay there from run to run, and so do tensors.
    """

    def __init__(self, fast: Speeds, device: Device, weights: int) -> None:
        self.fast = fast
        self.cache = 1e6 * (device.cache_mb or 0)
        self.streams = weights > self.cache

    def line(self, work: Work) -> Line:
        """Predict one node."""
        busy = self.busy(work.parts)
        moved = (work.weights if self.streams else 0) + (work.moved if work.moved > self.cache else 0)
        waiting = moved / (1e9 * self.fast.bandwidth)
        ms = 1e3 * max(busy, waiting) + (self.fast.node_us / 1e3 if work.parts else 0)
        largest = max(work.parts, key=lambda part: part.amount, default=Part("fused", 0))
        limit = "memory" if waiting > busy else "arithmetic" if busy > 0 else ""
        kind, rows = largest.kind, largest.rows
        node = work.node
        return Line(node.layer, node.op, kind, rows, work.macs, work.weights, ms, limit)

    def busy(self, parts: Iterable[Part]) -> float:
        """Seconds of arithmetic."""
        return sum(self.fast.seconds(*part) for part in parts)


def unknown(todo: Iterable[Work]) -> list[str]:
    """Names of our operators whose work has no model; they count as copies."""
    ours = {w.node.op for w in todo if w.node.op.startswith("smalti.")}
    return sorted(ours & {w.node.op for w in todo if [p.kind for p in w.parts] == ["move"]})
