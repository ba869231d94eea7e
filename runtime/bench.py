"""Times sessions side by side: interleaved runs, percentiles, ratios."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smalti.runtime.session import Session

_SYMBOLIC_SIZE = 1


@dataclass(frozen=True)
class Timing:
    """Milliseconds a run, over interleaved runs; `ratio` is the first session's median by ours."""

    name: str
    p10_ms: float
    p50_ms: float
    p90_ms: float
    ratio: float


def example_inputs(session: Session) -> dict[str, NDArray[Any]]:
    """Make inputs of the shapes that the file was exported with: ones, or noise for floats.

    A file without a manifest gets 1 for every symbolic dimension.
    """
    known = session.artifact.manifest.get("inputs", {})
    generator = np.random.default_rng(0)
    feed: dict[str, NDArray[Any]] = {}
    for port in session.inputs:
        shape = known.get(port.name, {}).get("shape") or [
            d if isinstance(d, int) else _SYMBOLIC_SIZE for d in port.shape
        ]
        is_float = port.dtype.kind == "f"
        values = generator.standard_normal(shape) if is_float else np.ones(shape)
        feed[port.name] = values.astype(port.dtype)
    return feed


def time_interleaved(
    runs: Mapping[str, Callable[[], object]],
    seconds: float = 2.0,
    warm_up: int = 3,
    before: int = 0,
) -> list[Timing]:
    """Time callables in turn, so that a drifting machine hits all alike.

    Runs until `seconds` have passed for each of them, at least ten times. Every round has an order
    of its own: who comes after an engine whose threads still spin, or who fills the caches, pays.

    warm_up: runs of each at the start. before: runs that precede every timed one, so that it finds
    its data in the caches.
    """
    for run in runs.values():
        for _ in range(warm_up):
            run()
    samples: dict[str, list[float]] = {name: [] for name in runs}
    shuffled, names = random.Random(0), list(runs)
    end = time.perf_counter() + seconds * len(runs)
    while time.perf_counter() < end or len(samples[names[0]]) < 10:
        shuffled.shuffle(names)
        for name in names:
            for _ in range(before):
                runs[name]()
            start = time.perf_counter()
            runs[name]()
            samples[name].append(1e3 * (time.perf_counter() - start))
    return _timings(samples)


def _timings(samples: dict[str, list[float]]) -> list[Timing]:
    first = float(np.median(next(iter(samples.values()))))
    timings = []
    for name, values in samples.items():
        p10, p50, p90 = (float(p) for p in np.percentile(values, (10, 50, 90)))
        timings.append(Timing(name, p10, p50, p90, first / p50))
    return timings
