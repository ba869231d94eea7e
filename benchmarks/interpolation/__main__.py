"""Interpolation side by side: ours, Torch eager and compiled, ONNX Runtime's, OpenCV, SciPy.

Run `python -m benchmarks.interpolation`. Peers run in turn; every number is a ratio's half.
"""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import click
import torch

import benchmarks.interpolation
from benchmarks.subject import Goal, Subject, reuse_memory
from smalti.export.report import rows_table, stdout_console
from smalti.runtime.bench import Timing, time_interleaved

Row = dict[str, Any]
_OTHERS = ("__main__", "opencv", "subject")


def _subjects(only: str) -> list[Subject]:
    """Of every file in this folder that has SUBJECTS."""
    found: list[Subject] = []
    for file in pkgutil.iter_modules(benchmarks.interpolation.__path__):
        if file.name not in _OTHERS:
            found += import_module(f"benchmarks.interpolation.{file.name}").SUBJECTS
    return [s for s in found if only in s.name]


def _rows(subject: Subject, threads: int, times: Mapping[str, Timing]) -> list[Row]:
    return [
        {
            "task": subject.name,
            "threads": threads,
            "name": name,
            "p10_ms": t.p10_ms,
            "p50_ms": t.p50_ms,
            "p90_ms": t.p90_ms,
        }
        for name, t in times.items()
    ]


def _goals(subject: Subject, threads: int, times: Mapping[str, Timing]) -> Iterator[Row]:
    for goal in subject.goals:
        peers = [t.p50_ms for name, t in times.items() if name.startswith(goal.peers)]
        value = min(peers) / times[goal.ours].p50_ms if peers else None
        yield {
            "name": _label(subject, goal),
            "threads": threads,
            "value": value,
            "bar": goal.bar,
            "met": value is not None and value >= goal.bar,
        }


def _label(subject: Subject, goal: Goal) -> str:
    return f"{subject.name}: {goal.ours} against {' and '.join(goal.peers)}"


@click.command()
@click.option("--seconds", type=float, default=1.0, help="Seconds an implementation.")
@click.option("--only", default="", help="Tasks whose names contain this.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, as_json: bool) -> None:
    """Print all timings and the goals."""
    reuse_memory()
    rows: list[Row] = []
    goals: list[Row] = []
    for subject in _subjects(only):
        for threads in (1, 2):
            click.echo(f"{subject.name}, {threads} threads", err=True)
            torch.set_num_threads(threads)
            with torch.inference_mode():
                timings = {t.name: t for t in time_interleaved(subject.runs(threads), seconds)}
            rows += _rows(subject, threads, timings)
            goals += _goals(subject, threads, timings)
    if as_json:
        click.echo(json.dumps({"rows": rows, "goals": goals}, indent=2))
    else:
        for table in (rows, goals):
            stdout_console().print(rows_table(table))


if __name__ == "__main__":
    main()
