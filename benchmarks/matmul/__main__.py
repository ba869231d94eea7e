"""Low-bit products side by side: ours, ONNX Runtime, OpenVINO, ggml, LiteRT, Torch.

Run `python -m benchmarks.matmul`. Engines run in turn; a peer that is missing is left out with a
line. A run is one product right after two like it (hot), or a ring of products whose matrices no
cache holds (DRAM).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.matmul import ours
from benchmarks.matmul.goals import met
from benchmarks.matmul.task import Candidate, Run, Task
from benchmarks.subject import reuse_memory
from smalti.devices.detect import bandwidth
from smalti.export.report import rows_table, stdout_console
from smalti.runtime.bench import Timing, time_interleaved

PEERS = ("onnxruntime", "openvino", "ggml", "litert", "pytorch")
TASKS = (
    *(Task(rows, 4096, dram=dram) for rows in (4096, 11008) for dram in (False, True)),
    Task(1536, 384),
    *(Task(4096, 4096, batch) for batch in (8, 32, 128, 512)),
)

Row = dict[str, Any]


def _candidates(task: Task, threads: int) -> Iterator[Candidate]:
    yield from ours.candidates(task, threads)
    for peer in PEERS:
        try:
            yield from import_module(f"benchmarks.matmul.peers.{peer}").candidates(task, threads)
        except ModuleNotFoundError as error:
            print(f"without {peer}: {error}", file=sys.stderr)


def _built(found: list[Candidate]) -> Iterator[tuple[Candidate, Run]]:
    """Those that can be had here; engines refuse in their own ways."""
    for candidate in found:
        print(f"  {candidate.name}", file=sys.stderr)
        try:
            with redirect_stdout(sys.stderr):  # some talk
                run = candidate.build()
            yield candidate, run
        except Exception as error:
            print(f"without {candidate.name}: {str(error).splitlines()[0]}", file=sys.stderr)


def _row(task: Task, threads: int, candidate: Candidate, timing: Timing) -> Row:
    copies = task.copies(candidate.bits)
    weights = task.rows * task.columns * task.batch * copies
    return {
        "task": task.name,
        "threads": threads,
        "name": candidate.name,
        "bits": candidate.bits,
        "p10_ms": timing.p10_ms / copies,
        "p50_ms": timing.p50_ms / copies,
        "p90_ms": timing.p90_ms / copies,
        "gweights_s": weights / timing.p50_ms / 1e6,
    }


def _measured(task: Task, threads: int, seconds: float, only: str) -> list[Row]:
    torch.set_num_threads(threads)
    wanted = [c for c in _candidates(task, threads) if only in c.name]
    built = dict((c.name, (c, run)) for c, run in _built(wanted))
    with torch.inference_mode():
        runs = {name: run for name, (_, run) in built.items()}
        timings = time_interleaved(runs, seconds, before=0 if task.dram else 2)
    return [_row(task, threads, built[t.name][0], t) for t in timings]


@click.command()
@click.option("--seconds", type=float, default=0.5, help="Seconds an engine and task.")
@click.option("--only", default="", help="Tasks whose names contain this.")
@click.option("--engine", default="", help="Engines whose names contain this.")
@click.option("--threads", type=int, multiple=True, default=(1, 2))
@click.option("--json", "as_json", is_flag=True)
@click.option("--picture", type=click.Path(path_type=Path), help="A .png of speed over bits.")
def main(
    seconds: float,
    only: str,
    engine: str,
    threads: tuple[int, ...],
    as_json: bool,
    picture: Path | None,
) -> None:
    """Print all timings and the goals."""
    reuse_memory()
    rows: list[Row] = []
    goals: list[Row] = []
    for task in (t for t in TASKS if only in t.name):
        for count in threads:
            print(f"{task.name}, {count} threads", file=sys.stderr)
            found = _measured(task, count, seconds, engine)
            rate = bandwidth(count)
            roofs = {r["name"]: 8 * rate / r["bits"] for r in found}
            speeds = {r["name"]: r["gweights_s"] for r in found}
            rows += [{**r, "memory_gb_s": rate} for r in found]
            goals += met(task, count, speeds, roofs)
    if picture:
        from benchmarks.matmul.picture import draw

        draw(rows, picture)
    if as_json:
        print(json.dumps({"rows": rows, "goals": goals}, indent=2))
    else:
        for table in (rows, goals):
            stdout_console().print(rows_table(table))


if __name__ == "__main__":
    main()
