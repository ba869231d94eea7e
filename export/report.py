"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from smalti.runtime.artifact import Artifact

if TYPE_CHECKING:
    from smalti.devices.latency import Prediction
    from smalti.export.fold import Folded
    from smalti.export.planning import PlanReport
    from smalti.export.run import Exported


def show(table: Table, data: Any, as_json: bool) -> None:
    """Print a table, or the data behind it as JSON, to stdout."""
    if as_json:
        plain = asdict(data) if is_dataclass(data) and not isinstance(data, type) else data
        print(json.dumps(plain, indent=2))
    else:
        # Rich prints nothing of a table without columns, not even its title.
        stdout_console().print(table if table.columns else table.title)


def stdout_console() -> Console:
    """Return a console for results; a file or a pipe does not cut tables to 80 columns."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " x ".join(str(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return "" if value is None else str(value)


def rows_table(rows: Sequence[dict[str, Any]], title: str | None = None) -> Table:
    """One column a key of the first row."""
    table = Table(title=title, title_justify="left")
    for key, value in (rows[0] if rows else {}).items():
        table.add_column(key.replace("_", " "), justify="right" if _numeric(value) else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float)


_LAYER_COLUMNS = (
    "name",
    "kind",
    "shape",
    "format",
    "bytes",
    "bits_per_weight",
    "error",
    "drop",
    "reason",
)


def _layers(layers: Sequence[dict[str, Any]], title: str) -> Table:
    return rows_table([{key: layer.get(key) for key in _LAYER_COLUMNS} for layer in layers], title)


def export_table(done: Exported) -> Table:
    """What became of every layer; the file in the title."""
    worst = max(done.errors, default=0.0)
    title = (
        f"{done.path}: {done.file_mb:.2f} MB, {done.bits_per_weight:.2f} bits per weight, "
        f"off from Torch by {worst:.1e}{_folds(done.folds)}"
    )
    return _layers(done.layers, title)


def _folds(folds: Sequence[Folded]) -> str:
    """Lines for a title: what was folded, and each layer that was not."""
    counts = Counter(fold.kind for fold in folds if not fold.reason)
    worst = max((fold.error for fold in folds), default=0.0)
    parts = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    lines = [f"folded: {parts}; off by {worst:.1e} at most"] if counts else []
    lines += [
        f"not folded: {fold.kind} {fold.name}: {fold.reason}" for fold in folds if fold.reason
    ]
    return "".join(f"\n{line}" for line in lines)


def plan_table(done: PlanReport) -> Table:
    """Every layer's format; what is predicted and measured in the title."""
    p, facts = done.planned, done.facts
    guard = (
        "" if p.linear else "; below 3 bits errors no longer just add up: trust the measured one"
    )
    on = f"; {p.allocation.ms:.3g} ms on {facts.device}" if facts.device else ""
    title = (
        f"{p.bytes / 1e6:.2f} MB of weights, of which {p.rest / 1e6:.2f} MB stay in float; "
        f"{facts.metric} predicted {p.allocation.drop:.4g}, measured {facts.measured:.4g}; "
        f"no plan is better by more than {p.gap:.1%}{on}{guard}{_folds(done.folds)}"
    )
    return rows_table(done.rows(), title)


def artifact_table(artifact: Artifact) -> Table:
    """What a file says of itself."""
    m = artifact.manifest
    if not m:
        return rows_table([], f"{artifact.path}: {artifact.bytes / 1e6:.2f} MB, not by smalti")
    engines = ", ".join(f"{use}: {engine}" for use, engine in m["min_engine"].items())
    title = (
        f"{artifact.path}: {artifact.bytes / 1e6:.2f} MB, smalti {m['smalti']}, "
        f"{artifact.native_nodes} native nodes, fallback {m['fallback']}, "
        f"needs library {m['min_library']}, {engines}"
    )
    return _layers(m["layers"], title)


def prediction_table(found: Prediction) -> Table:
    """What every layer takes; totals, and what they rest on, in the title."""
    m = found.memory
    rests = "measured" if found.measured else "derived rates, not checked on the device"
    unknown = f"\ncounted as copies: {', '.join(found.unknown)}" if found.unknown else ""
    title = (
        f"{found.device}, {found.threads} threads: {found.ms:.3g} ms ({rests}); "
        f"{m.peak / 1e6:.3g} MB of memory at most: {m.weights / 1e6:.3g} weights, "
        f"{m.activations / 1e6:.3g} tensors, {m.scratch / 1e6:.3g} scratch{unknown}"
    )
    return rows_table([asdict(line) for line in found.layers], title)
