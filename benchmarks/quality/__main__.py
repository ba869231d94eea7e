"""Quantizes the subjects in every way and prints what each costs: `python -m benchmarks.quality`.

Rows are kept in OUT/quality and measured once; delete a row's file to measure it again. Peers whose
library is absent are skipped with a line.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click

Row = dict[str, Any]


@click.command()
@click.option("--subject", type=click.Choice(["minilm", "fashion"]), default="minilm")
@click.option("--only", default="*", help="Rows whose name matches this glob.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build"))
@click.option("--json", "as_json", is_flag=True)
def main(subject: str, only: str, out: Path, as_json: bool) -> None:
    """Print one row a method, and the goals."""
    from benchmarks.quality.goals import goals, goals_table
    from benchmarks.quality.picture import draw
    from smalti.export.report import rows_table, stdout_console

    folder = out / "quality" / subject
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted(_rows(subject, only, folder), key=lambda row: (row["bits"], row["drop"]))
    met = goals(subject, rows)
    draw(rows, subject, out / f"quality-{subject}.png")
    if as_json:
        click.echo(json.dumps({"rows": rows, "goals": met}, indent=2))
        return
    console = stdout_console()
    console.print(rows_table(rows, f"{subject}: quantized layers' bits, drop from fp32"))
    console.print(goals_table(met))


def _rows(subject: str, only: str, folder: Path) -> Iterator[Row]:
    from benchmarks.quality.rows import all_rows

    for name, measure in all_rows(subject, folder):
        if fnmatch(name, only):
            row = _measured(name, measure, folder)
            if row is not None:
                yield row


def _measured(name: str, measure: Any, folder: Path) -> Row | None:
    """Measure a row, or read what an earlier run has left."""
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"
    if path.is_file():
        return dict(json.loads(path.read_text()))
    click.echo(f"measuring {name}", err=True)
    start = time.perf_counter()
    try:
        row = {"name": name, **measure()}
    except (ModuleNotFoundError, FileNotFoundError) as error:
        click.echo(f"skipped {name}: {error}", err=True)
        return None
    row["seconds"] = time.perf_counter() - start
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(row))
    os.replace(draft, path)
    click.echo(f"  {row['drop']:.4f} at {row['bits']:.2f} bits", err=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
