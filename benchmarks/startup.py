"""What smalti costs before it does anything: import and help times, size of the wheel.

Run `python benchmarks/startup.py` in an environment that has smalti and pip; it prints JSON.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 7
NUMPY = "import numpy"
HELP = "from smalti.export.cli import main; main(['--help'])"


def seconds(command: Sequence[str]) -> float:
    """Median wall time of a process, without its first, cold run."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def wheel_bytes() -> int:
    """Size of the wheel that pip builds from this checkout."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, str(ROOT)]
        subprocess.run(command, check=True)
        return next(Path(folder).glob("*.whl")).stat().st_size


def main() -> None:
    python = sys.executable
    numpy = seconds([python, "-c", NUMPY])
    runtime = seconds([python, "-c", f"{NUMPY}; import smalti.runtime.session"])
    rows = [
        ("import smalti.runtime over numpy, ms", 1e3 * (runtime - numpy), 150),
        ("smalti --help, ms", 1e3 * seconds([python, "-c", HELP]), 300),
        ("wheel, MB", wheel_bytes() / 1e6, 2),
    ]
    goals = [{"name": n, "value": round(v, 3), "bar": b, "met": v <= b} for n, v, b in rows]
    print(json.dumps(goals, indent=2))


if __name__ == "__main__":
    main()
