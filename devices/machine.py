"""What the operating system says of this machine (Linux; elsewhere less)."""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from pathlib import Path

from smalti.devices.profile import Cores

_CPUINFO = Path("/proc/cpuinfo")
_CPUS = Path("/sys/devices/system/cpu")
# Features that decide speed, by the names that Linux gives them.
_FEATURES = {
    **{"avx2": "avx2", "avx512f": "avx512", "avx512_vnni": "vnni", "avx_vnni": "vnni"},
    **{"asimd": "neon", "asimdhp": "fp16", "asimddp": "dotprod", "i8mm": "i8mm", "sve": "sve"},
}


def threads() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def features() -> tuple[str, ...]:
    """Return instruction-set features, as profiles name them."""
    words = set(re.findall(r"\w+", _read(_CPUINFO)))
    found = [ours for theirs, ours in _FEATURES.items() if theirs in words]
    if re.search(r"isa\s*:\s*rv64\w*v", _read(_CPUINFO)):
        found.append("rvv")
    return tuple(dict.fromkeys(found))


def cores() -> tuple[Cores, ...]:
    """Return kinds of cores by their highest clock, the fastest first."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _read(_CPUINFO), re.M)
    name = names[0].strip() if names else platform.machine()
    clocks = Counter(map(_clock, _CPUS.glob("cpu[0-9]*")))
    if len(clocks) > 1 and clocks.total() == threads():
        kinds = sorted(clocks.items(), key=lambda kind: -(kind[0] or 0))
        return tuple(Cores(name=name, count=n, clock_ghz=clock) for clock, n in kinds)
    return (Cores(name=name, count=threads(), clock_ghz=next(iter(clocks), None)),)


def _clock(cpu: Path) -> float | None:
    """GHz, as the kernel's governor or else its description of the CPU has it."""
    highest = _read(cpu / "cpufreq" / "cpuinfo_max_freq")
    if highest.strip().isdecimal():
        return int(highest) / 1e6
    now = re.search(r"^cpu MHz\s*:\s*([\d.]+)", _read(_CPUINFO), re.M)
    return round(float(now[1]) / 1e3, 2) if now else None


def ram_mb() -> int | None:
    """Return the size of the memory."""
    try:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6)
    except (AttributeError, ValueError, OSError):
        return None


def cache_mb() -> float | None:
    """Return the size of the last level of cache that the first core sees."""
    sizes = [_read(path) for path in (_CPUS / "cpu0" / "cache").glob("index*/size")]
    units = {"K": 2**10, "M": 2**20}
    found = [int(m[1]) * units[m[2]] for size in sizes if (m := re.match(r"(\d+)([KM])", size))]
    return round(max(found) / 1e6, 2) if found else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
