"""How fast a device is at each kind of work: measured, or else derived from its data sheet.

What is derived rests on assumptions, the constants below; none has been checked on the devices.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from smalti.devices.profile import Cores, Device, DeviceError, Measured
from smalti.devices.work import ELEMENT_KINDS
from smalti.runtime.format import GRIDS

# Assumptions. Shares of a core's peak that good kernels reach, seen on one x86-64 machine.
FLOAT_SHARE = 0.7
INT8_SHARE = 0.4
# Bits of a vector for each number or multiply-add, from the same machine's measured rates.
ELEMENT_BITS = {
    **{"depthwise": 64, "rotate": 512, "rotate-odd": 8192, "patch": 1024, "patch-odd": 8192},
    **{"move": 256, "exp": 1024, "norm": 6144},
}
NODE_CYCLES, RUN_CYCLES = 8e3, 2e4  # of an engine's own work, for a node and a run

_QUADS = {"dotprod", "vnni", "i8mm"}  # instructions that add four products of int8 to each lane


@dataclass(frozen=True)
class Speeds:
    """What a prediction needs. bandwidth: GB/s; rates: in 10^9 a second, by kind, by rows."""

    threads: int
    bandwidth: float
    node_us: float
    run_us: float
    rates: dict[str, list[tuple[int, float]]]
    measured: bool

    def seconds(self, kind: str, amount: int, rows: int) -> float:
        """Time for an amount of work; between measured rows, rates rise with their logarithm."""
        points = self.rates.get(kind) or self.rates["float"]
        below = [p for p in points if p[0] <= rows] or points[:1]
        above = [p for p in points if p[0] >= rows] or points[-1:]
        (low, slow), (high, fast) = below[-1], above[0]
        share = log(rows / low) / log(high / low) if high > low and rows > low else 0.0
        return amount / (1e9 * (slow + share * (fast - slow)))


def speeds(device: Device, threads: int | None = None) -> Speeds:
    """Return a device's speeds with this many threads; None for one on each of the fastest cores.

    Raises:
        DeviceError: nothing is measured, and the profile lacks what the rates derive from.
    """
    threads = min(threads or device.threads, sum(cores.count for cores in device.cores))
    if device.measured:
        return _measured(device.measured, threads, device.threads)
    return _derived(device, threads)


def _measured(found: Measured, threads: int, cores: int) -> Speeds:
    def between(one: float, all_: float) -> float:
        return one + (all_ - one) * min(1.0, (threads - 1) / max(cores - 1, 1))

    rates: dict[str, list[tuple[int, float]]] = {}
    for rate in sorted(found.rates, key=lambda r: r.rows):
        rates.setdefault(rate.kind, []).append((rate.rows, between(rate.one, rate.all)))
    bandwidth = between(found.bandwidth_one, found.bandwidth_all)
    return Speeds(threads, bandwidth, found.node_us, found.run_us, rates, True)


def _derived(device: Device, threads: int) -> Speeds:
    """Rates are cycles x bits a cycle, summed over the cores in use, the fastest first."""
    used = _used(device, threads)
    bits = sum(count * _clock(device, c) * _bits(device, c) for c, count in used)
    clock = _clock(device, device.cores[0])
    int8 = INT8_SHARE * bits / (8 if _QUADS & set(device.isa) else 16)
    low_bit = ("int8", "int4", *(f"vq-{p}x{n}" for p, n in GRIDS))
    rates = {kind: [(1, int8)] for kind in low_bit}
    rates |= {kind: [(1, FLOAT_SHARE * bits / 32)] for kind in ("float", "conv", "nf4", "vq-float")}
    rates |= {kind: [(1, bits / ELEMENT_BITS[kind])] for kind in ELEMENT_KINDS}
    if device.memory is None:
        raise DeviceError(f"{device.name}: memory is missing; add [memory] or run detect on it")
    bandwidth = device.memory.peak * device.memory.sustained
    node, run = NODE_CYCLES / clock / 1e3, RUN_CYCLES / clock / 1e3
    return Speeds(threads, bandwidth, node, run, rates, False)


def _used(device: Device, threads: int) -> list[tuple[Cores, int]]:
    used = []
    for cores in device.cores:
        count = min(threads, cores.count)
        threads -= count
        if count:
            used.append((cores, count))
    return used


def _clock(device: Device, cores: Cores) -> float:
    return _known(device, cores, "clock_ghz")


def _bits(device: Device, cores: Cores) -> float:
    return _known(device, cores, "vector_bits")


def _known(device: Device, cores: Cores, name: str) -> float:
    value: float | None = getattr(cores, name)
    if value is None:
        raise DeviceError(
            f"{device.name}: cores {cores.name} have no {name}; add it, or run detect on the device"
        )
    return value
