"""Drop over bits, and the frontier of ours and of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_LABELS = {"minilm": "1 - mean cosine to fp32", "fashion": "mean KL divergence from fp32"}


def frontier(rows: Sequence[Row]) -> list[Row]:
    """Rows that no row with as few bits beats."""
    found: list[Row] = []
    for row in sorted(rows, key=lambda r: (r["bits"], r["drop"])):
        if not found or row["drop"] < found[-1]["drop"]:
            found.append(row)
    return found


def draw(rows: Sequence[Row], subject: str, path: Path) -> None:
    """Write a picture of all rows."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = [row for row in rows if row["drop"] > 0]  # the axis is logarithmic; fp32 has no place
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    groups = (
        ("peers, no data", "#c78f5a", "x", [r for r in rows if r["peer"] and not r["data"]]),
        ("peers, calibrated", "#a33b20", "s", [r for r in rows if r["peer"] and r["data"]]),
        ("smalti, no data", "#6aa6b8", "v", [r for r in rows if not r["peer"] and not r["data"]]),
        ("smalti, calibrated", "#1f4e79", "o", [r for r in rows if not r["peer"] and r["data"]]),
    )
    for label, colour, mark, found in groups:
        if not found:
            continue
        axes.plot(
            [r["bits"] for r in found],
            [r["drop"] for r in found],
            mark,
            color=colour,
            label=label,
            markersize=5,
        )
        best = frontier(found)
        axes.plot([r["bits"] for r in best], [r["drop"] for r in best], color=colour, alpha=0.5)
    axes.set(yscale="log", xlabel="bits a weight, with scales", ylabel=_LABELS[subject])
    axes.set_title(f"{subject}: what is lost at which size (lower left is better)")
    axes.grid(alpha=0.25, which="both")
    axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)
