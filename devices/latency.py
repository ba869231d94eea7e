"""Predicts a file's time and memory on a device: a roofline, node by node.

A node takes as long as its arithmetic or its memory traffic, whichever is longer (Williams,
Waterman, Patterson 2009), and a fixed time for the engine to get there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from smalti.devices.graph import Graph, open_graph
from smalti.devices.memory import Memory, memory
from smalti.devices.profile import Device, read_device
from smalti.devices.speeds import Speeds, speeds
from smalti.devices.work import Part, Work, works


@dataclass(frozen=True)
class Line:
    """A layer's prediction.

    kind: of most of its work, with its rows; bytes: of its weights; tensors: bytes in and out;
    limit: what it waits for, arithmetic or memory.
    """

    layer: str
    op: str
    nodes: int
    kind: str
    rows: int
    macs: int
    bytes: int
    tensors: int
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
    layers: list[Line]
    unknown: list[str]


def predict_file(path: str | Path, device: str, threads: int | None = None) -> Prediction:
    """Predict a file with the inputs that it was exported with; `device` as `read_device` has it.

    Raises:
        DeviceError: no such device, or one without the figures that are needed.
        FileError: the file is missing, damaged or too new.
    """
    return predict(open_graph(path), read_device(device), threads)


def predict(graph: Graph, device: Device, threads: int | None = None) -> Prediction:
    """Predict one run of a warm session; threads: None for one on each of the fastest cores.

    Raises:
        DeviceError: the profile has neither measured rates nor what they derive from.
    """
    fast = speeds(device, threads)
    todo = list(works(graph))
    clock = Clock(fast, device, sum(work.weights for work in todo))
    lines = [clock.line(work) for work in todo]
    ms = sum(line.ms for line in lines) + fast.run_us / 1e3
    found = memory(graph, todo)
    unknown = _unknown(todo)
    return Prediction(
        device.name, fast.threads, fast.measured, ms, found, _by_layer(lines), unknown
    )


class Clock:
    """Times nodes of a model whose weights have `weights` bytes in all.

    Weights that fit the last level of cache stay there from run to run, and so do tensors.
    """

    def __init__(self, fast: Speeds, device: Device, weights: int) -> None:
        self.fast = fast
        self._cache = 1e6 * (device.cache_mb or 0)
        self._streams = weights > self._cache

    def line(self, work: Work) -> Line:
        """Predict one node."""
        busy = sum(self.fast.seconds(*part) for part in work.parts)
        far = work.weights if self._streams else 0
        far += work.moved if work.moved > self._cache else 0
        waiting = far / (1e9 * self.fast.bandwidth) if work.parts else 0.0
        ms = 1e3 * max(busy, waiting) + (self.fast.node_us / 1e3 if work.parts else 0)
        main = max(work.parts, key=lambda part: part.amount, default=Part("fused", 0))
        return Line(
            layer=work.node.layer,
            op=work.node.op,
            nodes=1,
            kind=main.kind,
            rows=main.rows,
            macs=work.macs,
            bytes=work.weights,
            tensors=work.moved,
            ms=ms,
            limit="memory" if waiting > busy else "arithmetic",
        )


def _by_layer(lines: Iterable[Line]) -> list[Line]:
    """Join the nodes of each layer; it is called after the one that multiplies most."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.layer or line.op, []).append(line)
    return [_joined(name, nodes) for name, nodes in found.items()]


def _joined(layer: str, nodes: list[Line]) -> Line:
    main = max(nodes, key=lambda line: (line.macs, line.ms))
    sums = {
        name: sum(getattr(line, name) for line in nodes)
        for name in ("nodes", "macs", "bytes", "tensors", "ms")
    }
    return replace(main, layer=layer, **sums)


def _unknown(todo: Iterable[Work]) -> list[str]:
    """Names of our operators whose work has no model; they count as copies."""
    ours = (work for work in todo if work.node.op.startswith("smalti."))
    return sorted({w.node.op for w in ours if [p.kind for p in w.parts] == ["move"]})
