"""Do losses of layers add up? Predicted against measured drop of random plans on MiniLM.

`python -m benchmarks.quality.linearity`: nearest rounding, 20 plans above 3.2 bits a weight and 10
below 2.8; the prediction is the sum of the layers' Hessian losses.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.quality.ours import Calibrations, as_dense
from benchmarks.quality.subjects import MiniLM, layers
from smalti.export.report import rows_table, stdout_console
from smalti.quant import quantize_
from smalti.quant.drop import measured_drop
from smalti.quant.sensitivity import LINEAR_BELOW, Cost, costs
from smalti.runtime.format import parse_format

FORMATS = ("vq-4x256-g128", "vq-2x64-g128", "vq-2x256-g128", "int8-g128")
BITS = (2.127, 3.127, 4.127, 8.31)
EVERY = 8  # of the calibration batches, one is measured on


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build"))
@click.option("--json", "as_json", is_flag=True)
def main(out: Path, as_json: bool) -> None:
    """Print a row a plan, and the goal."""
    rows = _rows(out / "quality" / "minilm" / "kept")
    above = [abs(row["measured"] / row["predicted"] - 1) for row in rows if row["bits"] > 3.2]
    guarded = all(not row["linear"] for row in rows if row["bits"] < 2.8)
    goals = [
        {"name": "worst of 20 plans above 3.2 bits", "threads": 2, "value": max(above),
         "bar": 0.25, "met": max(above) <= 0.25},
        {"name": "guard fires below", "threads": 2, "value": guarded, "bar": True, "met": guarded},
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps({"rows": rows, "goals": goals}, indent=2))
        return
    stdout_console().print(rows_table(rows))
    stdout_console().print(rows_table(goals, "goals"))


def _rows(folder: Path) -> list[dict[str, Any]]:
    subject = MiniLM()
    module = subject.model()
    names = [name for name, _ in layers(subject, module)]
    batches, hessians = Calibrations(subject, folder).of("recipe")
    known = {name: hessians[name] for name in names}
    forms = [parse_format(form) for form in FORMATS]
    ways = costs(module, forms, known, rounding="nearest", jobs=2, resume=folder)
    chooser = random.Random(0)
    return [
        _row(_random_plan(ways, chooser, low), known, batches[::EVERY], folder)
        for low in [False] * 20 + [True] * 10
    ]


def _random_plan(
    ways: dict[str, list[Cost]], chooser: random.Random, low: bool
) -> dict[str, tuple[Cost, float]]:
    """Formats that average above 3.2 bits, or below 2.8."""
    weights = np.array([way[-1].choice.bytes for way in ways.values()], float)
    while True:
        odds = [chooser.random() for _ in FORMATS]
        picked = [chooser.choices(range(4), odds)[0] for _ in ways]
        bits = np.average([BITS[i] for i in picked], weights=weights)
        if bits < 2.8 if low else bits > 3.2:
            chosen = zip(ways.items(), picked, strict=True)
            return {name: (way[i], BITS[i] * way[-1].choice.bytes) for (name, way), i in chosen}


def _row(
    plan: dict[str, tuple[Cost, float]], known: Any, batches: Any, folder: Path
) -> dict[str, Any]:
    subject = MiniLM()
    module, reference = subject.model(), subject.model()
    formats = {name: cost.choice.format for name, (cost, _) in plan.items()}
    quantize_(module, formats, known, rounding="nearest", jobs=2, resume=folder)
    torch.set_num_threads(2)
    layers_of = reference.get_submodule
    size = sum(next(layers_of(name).parameters()).nbytes for name in plan)
    return {
        "bits": sum(weighted for _, weighted in plan.values()) / size,
        "predicted": sum(cost.choice.drop for cost, _ in plan.values()),
        "measured": measured_drop(as_dense(module), reference, batches, subject.loss),
        "linear": all(cost.error <= LINEAR_BELOW for cost, _ in plan.values()),
    }


if __name__ == "__main__":
    main()
