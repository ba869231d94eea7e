"""Measures this machine: memory, and our library's and ONNX Runtime's operators."""

from __future__ import annotations

import ctypes
import platform
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from smalti.devices import machine
from smalti.devices.onnx_writer import Model
from smalti.devices.probe import Probe, probes, tiny
from smalti.devices.profile import Device, Measured, Rate
from smalti.runtime.session import Session

_SECONDS = 0.06  # of a measurement; the fastest run counts, as all else is other programs
_CHAIN = 65
_BUFFER = 256 << 20

Progress = Callable[[str], None]


def detect(progress: Progress = lambda stage: None) -> Device:
    """Measure this machine, in ten to twenty seconds; it should have nothing else to do.

    Raises:
        MissingRuntimeError: no ONNX Runtime, or no native library.
    """
    cores = machine.cores()
    progress("memory")
    one, all_ = bandwidth(1), bandwidth(machine.threads())
    return Device(
        name=platform.node() or "this-machine",
        title=f"{cores[0].name}, measured",
        isa=machine.features(),
        engine="onnx",
        cores=cores,
        ram_mb=machine.ram_mb(),
        cache_mb=machine.cache_mb(),
        measured=_measured(one, all_, progress),
        source={"measured": "smalti devices detect"},
    )


def bandwidth(threads: int) -> float:
    """Return GB/s read from memory: libc searches a buffer for a byte that is not there."""
    size = min(_BUFFER, (machine.ram_mb() or 1 << 20) * 10**6 // 4) // threads
    search = ctypes.CDLL(None).memchr
    search.argtypes, search.restype = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t), None
    parts = [np.ones(size, np.uint8) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def read() -> None:
            list(pool.map(lambda part: search(part.ctypes.data, 0, size), parts))

        return threads * size / fastest(read, 10 * _SECONDS) / 1e9


def fastest(run: Callable[[], object], seconds: float = _SECONDS) -> float:
    """Return the seconds of the fastest run, of at least five."""
    run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def _measured(one: float, all_: float, progress: Progress) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "probe.onnx")

        def timed(model: Model, threads: int) -> float:
            path.write_bytes(model.to_bytes())
            session = Session(path, threads=threads)
            x = np.random.default_rng(0).standard_normal(model.shape, np.float32)
            return fastest(lambda: session.run(x))

        run = timed(tiny(1), 1)
        node = (timed(tiny(_CHAIN), 1) - run) / (_CHAIN - 1)
        run -= node
        found = []
        for threads in (1, machine.threads()):
            rates: dict[tuple[str, int], float] = {}
            for probe in probes():
                progress(f"{probe.kind}, {threads} threads")
                spent = timed(probe.model, threads) - run - probe.nodes * node
                rates[probe.kind, probe.rows] = _rate(probe, spent, rates)
            found.append(rates)
    pairs = zip(found[0].items(), found[1].values(), strict=True)
    rows = [_line(kind, rows, a, b) for ((kind, rows), a), b in pairs]
    return Measured(
        bandwidth_one=round(one, 2),
        bandwidth_all=round(all_, 2),
        node_us=round(1e6 * node, 3),
        run_us=round(1e6 * run, 3),
        rates=tuple(rows),
    )


def _rate(probe: Probe, seconds: float, known: dict[tuple[str, int], float]) -> float:
    """10^9 a second, after other work is taken off; never more than tenfold by that."""
    other = sum(amount / (1e9 * known[kind, rows]) for kind, amount, rows in probe.other)
    return probe.amount / (1e9 * max(seconds - other, seconds / 10, 1e-9))


def _line(kind: str, rows: int, one: float, all_: float) -> Rate:
    return Rate(kind=kind, rows=rows, one=round(one, 3), all=round(all_, 3))
