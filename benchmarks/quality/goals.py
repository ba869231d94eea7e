"""What the rows have to reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from smalti.export.report import rows_table

Row = dict[str, Any]

# Bits that a row may have, whether it saw data, planned or uniform or either, the drop to reach.
_MINILM = (
    ("4.13 bits", 4.14, True, None, 0.0048),
    ("3.11 bits, uniform", 3.13, True, False, 0.0205),
    ("3.11 bits, planned", 3.12, True, True, 0.0155),
    ("2.49 bits, planned", 2.50, True, True, 0.037),
    ("2.13 bits", 2.14, True, None, 0.070),
    ("4.13 bits without data", 4.14, False, None, 0.021),
    ("3.11 bits without data", 3.13, False, None, 0.068),
)


def goals(subject: str, rows: Sequence[Row]) -> list[Row]:
    """Return name, threads, value, bar, met; value is None where no row counts."""
    ours = [row for row in rows if not row["peer"] and row["bits"] < 32]
    if subject == "minilm":
        return _of_minilm(ours)
    fp32 = next((row["score"] for row in rows if row["name"] == "fp32"), 1.0)
    return _of_fashion(ours, rows, fp32)


def _of_minilm(ours: Sequence[Row]) -> list[Row]:
    found = []
    for name, bits, data, planned, bar in _MINILM:
        values = [
            row["drop"]
            for row in ours
            if bits - 0.06 < row["bits"] <= bits
            and row["data"] == data
            and planned in (None, row["name"].startswith("plan"))
        ]
        found.append(_goal(name, min(values, default=None), bar, below=True))
    lowest = [row["score"] for row in ours if row["data"] and row["bits"] > 2.1]
    found.append(_goal("Spearman, calibrated", min(lowest, default=None), 0.815, below=False))
    return found


def _of_fashion(ours: Sequence[Row], rows: Sequence[Row], fp32: float) -> list[Row]:
    found = []
    for bits in (2, 3, 4):
        mine = [r["drop"] for r in ours if r["data"] and bits <= r["bits"] < bits + 0.35]
        theirs = [r["drop"] for r in rows if r["name"] == f"GPTQ int{bits} g128 + clip"]
        ratio = theirs[0] / min(mine) if mine and theirs else None
        found.append(_goal(f"KL of GPTQ + clip / ours, {bits} bits", ratio, 1.5, below=False))
    calibrated = [r for r in ours if r["data"] and "trained" not in r["name"]]
    three = [r["score"] for r in calibrated if 3 <= r["bits"] < 3.35]
    two = [r["score"] for r in ours if "trained" in r["name"]]
    found.append(
        _goal("accuracy, 3 bits calibrated", max(three, default=None), fp32 - 0.003, False)
    )
    found.append(_goal("accuracy, 2 bits trained", max(two, default=None), fp32 - 0.015, False))
    return found


def _goal(name: str, value: float | None, bar: float, below: bool) -> Row:
    met = value is not None and (value <= bar if below else value >= bar)
    return {"name": name, "threads": 2, "value": value, "bar": bar, "met": met}


def goals_table(found: Sequence[Row]) -> Table:
    """The goals, met or not."""
    return rows_table(found, "goals")
