"""Speed over bits a weight, with what memory allows drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]
_COLOURS = {"smalti": "#c0392b", "onnxruntime": "#2c6fbb", "openvino": "#6a51a3"}
_COLOURS |= {"ggml": "#238b45", "litert": "#d98c00", "torch": "#888888"}


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write a panel for each task of one row and number of threads."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    tasks = dict.fromkeys((r["task"], r["threads"]) for r in rows if r["task"].startswith("1 x"))
    across = min(len(tasks), 2)
    down = -(-len(tasks) // across)
    size = (6 * across, 4 * down)
    figure, axes = pyplot.subplots(down, across, figsize=size, squeeze=False, layout="constrained")
    for (task, threads), axis in zip(tasks, axes.flat, strict=False):
        mine = [r for r in rows if (r["task"], r["threads"]) == (task, threads)]
        _panel(axis, mine)
        axis.set_title(f"{task}, {threads} thread{'s' if threads > 1 else ''}")
    figure.savefig(path, dpi=90)


def _panel(axis: Any, rows: Sequence[Row]) -> None:
    bits = np.geomspace(1.8, 34, 50)
    axis.loglog(bits, 8 * rows[0]["memory_gb_s"] / bits, color="black", lw=1, label="memory")
    for engine, colour in _COLOURS.items():
        mine = [r for r in rows if r["name"].startswith(engine)]
        if mine:
            speeds = [r["gweights_s"] for r in mine]
            axis.scatter([r["bits"] for r in mine], speeds, s=24, color=colour, label=engine)
    axis.set_xticks([2, 3, 4, 8, 16, 32], ["2", "3", "4", "8", "16", "32"])
    axis.xaxis.set_minor_formatter("")
    axis.set_xlabel("bits a weight, with scales")
    axis.set_ylabel("10⁹ weights a second")
    axis.legend(fontsize=7)
    axis.grid(alpha=0.3)
