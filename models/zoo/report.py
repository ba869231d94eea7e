"""Results as rows of text, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from smalti.models.about import About
from smalti.models.zoo.kept import Metrics, Results
from smalti.models.zoo.storage import ROWS
from smalti.quant.plan import FLOAT

if TYPE_CHECKING:
    from rich.table import Table

ENGINES = {"onnx": "ONNX Runtime", "tflite": "LiteRT"}
NO_FILE = "-"
Cells = list[str]


def number(value: float) -> str:
    """Return four digits."""
    return f"{value:.4g}"


def percent(value: float) -> str:
    """Return hundredths with two digits, and no minus before nothing."""
    return f"{round(value, 4) + 0.0:.2%}"


def size(count: int) -> str:
    """Return bytes as kB, or as MB from a million on."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def metric(about: About, metrics: Metrics) -> float | None:
    """Return the metric that counts; None where evaluate() gave none."""
    return metrics.get(about.metric)


def change(about: About, results: Results, row: str, engine: str) -> float | None:
    """Return how much worse a row is than the module in Torch, relative; below 0 if better."""
    wanted = metric(about, results.torch)
    score = results.scores.get(results.alike(row), {}).get(engine)
    found = metric(about, score.metrics) if score else None
    if wanted is None or found is None:
        return None
    worse = wanted - found if about.rises else found - wanted
    return worse / (abs(wanted) or 1.0)


def others(about: About, results: Results) -> str:
    """Return what else evaluate() gave in Torch, such as what a plain method has."""
    known = results.torch.items()
    return ", ".join(f"{k} {number(v)}" for k, v in known if k != about.metric)


def heading(about: About, engines: Sequence[str]) -> Cells:
    """Return the titles of a recipe's table."""
    found = [""]
    for engine in engines:
        found += [f"{ENGINES[engine]}: {about.metric}", "worse by", "bytes", "ms"]
    return found


def lines(about: About, results: Results) -> list[Cells]:
    """Return a line of cells for each row that has files."""
    return [
        [row, *(cell for engine in results.engines for cell in _cells(about, results, row, engine))]
        for row in ROWS
        if row in results.scores
    ]


def _cells(about: About, results: Results, row: str, engine: str) -> Cells:
    score = results.scores[row].get(engine)
    if score is None or score.reason:
        return [NO_FILE] * 4
    found, worse = metric(about, score.metrics), change(about, results, row, engine)
    ms = results.times.get(engine, {}).get(row)
    return [
        NO_FILE if found is None else number(found),
        "" if worse is None or row == FLOAT else percent(worse),
        size(score.bytes),
        "" if ms is None else f"{ms:.3g}",
    ]


def notes(results: Results) -> list[str]:
    """Return why rows or files are missing, equal reasons together."""
    found: dict[str, Cells] = {}
    for row in ROWS:
        if row in results.notes:
            found.setdefault(results.notes[row], []).append(row)
        for engine, score in results.scores.get(row, {}).items():
            if score.reason:
                found.setdefault(score.reason, []).append(f"{row} in {ENGINES[engine]}")
    return [f"{', '.join(where)}: {reason}" for reason, where in found.items()]


def trained(about: About, results: Results) -> str:
    """Return what there is before quantization: the module, and its metric in Torch."""
    found = metric(about, results.torch)
    unit = f" {about.unit}" if about.unit else ""
    torch = "" if found is None else f"; {about.metric} in Torch {number(found)}{unit}"
    published = f", published: {about.published}" if about.published else ""
    return f"{results.parameters:,} parameters, {size(results.float_bytes)}{torch}{published}"


def table(name: str, about: About, results: Results) -> Table:
    """Return a table to print."""
    from rich.table import Table

    shown = Table(title=f"{name}: {trained(about, results)}", title_justify="left")
    shown.caption, shown.caption_justify = "\n".join(notes(results)) or None, "left"
    for head in heading(about, results.engines):
        shown.add_column(head.replace(": ", "\n"), justify="right" if head else "left")
    for cells in lines(about, results):
        shown.add_row(*cells)
    return shown
