"""The demo's rows as a table, as JSON and as a chart, and some answers of the search."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smalti.models.minilm import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

INK, GREY, ACCENT = "#22272e", "#8a939e", "#d9541e"


@dataclass(frozen=True)
class Row:
    """One file: size, real bits of each of the model's weights, speed and quality.

    Milliseconds are those of one sentence at a time; cosine and overlap10 compare with fp32; stsb
    is the Spearman correlation on STS-B's test pairs, None where they are not at hand.
    """

    name: str
    file_mb: float
    bits: float
    p50_ms: float
    p90_ms: float
    p50_2t_ms: float | None
    cosine: float
    overlap10: float
    stsb: float | None


COLUMNS = (
    ("file MB", "file_mb", ".2f"),
    ("bits", "bits", ".2f"),
    ("p50 ms", "p50_ms", ".2f"),
    ("p90 ms", "p90_ms", ".2f"),
    ("p50 ms, 2 threads", "p50_2t_ms", ".2f"),
    ("cosine", "cosine", ".3f"),
    ("top-10 overlap", "overlap10", ".2f"),
    ("STS-B", "stsb", ".4f"),
)


def as_json(rows: Sequence[Row]) -> str:
    """Return the rows as a JSON list, null where something was not measured."""
    return json.dumps([asdict(row) for row in rows], indent=2)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def table(rows: Sequence[Row]) -> Table:
    """Return a table to print."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = Table(title="all-MiniLM-L6-v2, without calibration data", box=SIMPLE_HEAD)
    shown.add_column("")
    for title, _, _ in COLUMNS:
        shown.add_column(title, justify="right")
    for row in rows:
        ours = row.name.startswith("smalti")
        shown.add_row(row.name, *cells(row), style="bold" if ours else "")
    return shown


def cells(row: Row) -> list[str]:
    """Return the numbers of a row as a reader wants them, a dash for what was not measured."""
    values = [(getattr(row, key), form) for _, key, form in COLUMNS]
    return ["-" if value is None else format(value, form) for value, form in values]


def answers_text(
    questions: Sequence[str], names: Sequence[str], found: Array, expected: Array, count: int = 3
) -> str:
    """Return questions with their best answers; a star marks one that fp32 has in its best ten.

    found, expected: numbers of documents, best first, (questions, 10).
    """
    lines = []
    for question, best, right in zip(questions, found, expected, strict=True):
        lines.append(f"\n{question}")
        for i in best[:count]:
            lines.append(f"  {'*' if i in right else ' '} {names[i]}")
    return "\n".join(lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw quality over size as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _points(axes, [row for row in rows if not row.name.startswith("smalti")], GREY, "")
    _points(axes, [row for row in rows if row.name.startswith("smalti")], ACCENT, "-")
    _frame(axes)
    draft = path.with_name(f".{path.name}")
    figure.savefig(draft, format="png")
    os.replace(draft, path)


def _points(axes: Axes, rows: Sequence[Row], color: str, line: str) -> None:
    sizes, cosines = [row.file_mb for row in rows], [row.cosine for row in rows]
    axes.plot(sizes, cosines, line, marker="o", markersize=8, linewidth=1.5, color=color)
    for row in rows:
        axes.annotate(
            f"{row.name}\n{row.file_mb:.1f} MB, {row.cosine:.3f}",
            (row.file_mb, row.cosine),
            xytext=(9, -6) if color == GREY else (-9, 6),
            textcoords="offset points",
            horizontalalignment="left" if color == GREY else "right",
            verticalalignment="top" if color == GREY else "bottom",
            fontsize=9,
            color=INK if color == GREY else color,
        )


def _frame(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xticks([5, 10, 20, 50, 100], ["5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_xlim(3, 190)
    axes.set_ylim(axes.get_ylim()[0] - 0.02, 1.03)
    axes.grid(color="#e4e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("file size, MB", color=INK)
    axes.set_ylabel("mean cosine to fp32", color=INK)
    axes.set_title("A sentence encoder of 22.6 M weights, quantized without data", color=INK)
