"""Is the latency model right? Predicted beside measured, on this machine, in ONNX Runtime.

    python -m benchmarks.latency [--threads N] [--json]

Measures the machine, then runs MiniLM and a convolutional net in every format at several sizes of
inputs. The files stay in build/latency, and the first call takes minutes to make them. Times are
those of the fastest runs: other programs only ever add to them. Machines drift, so the machine is
measured anew for each model.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smalti.devices import open_graph, predict
from smalti.devices.detect import detect, fastest
from smalti.devices.profile import Device
from smalti.export import export_onnx, report
from smalti.models import fashion, minilm
from smalti.models.demo_files import quiet
from smalti.quant import quantize_
from smalti.runtime import Session

FOLDER = Path("build/latency")
FORMATS = ("float", "int8", "int4", "vq-1x16", "vq-2x256", "vq-2x64", "vq-2x16", "vq-4x256")
MODELS: dict[str, Any] = {"minilm": minilm, "fashion": fashion}
SIZES: dict[str, tuple[dict[str, int], ...]] = {
    "minilm": (
        {"batch": 1, "sequence": 8},
        {"batch": 1, "sequence": 32},
        {"batch": 8, "sequence": 32},
    ),
    "fashion": ({"batch": 1}, {"batch": 2}, {"batch": 32}),
}
SECONDS = 0.5  # of each measurement
GOAL_ERROR, GOAL_RANKS = 0.2, 0.9


@dataclass(frozen=True)
class Row:
    """One file at one size of inputs; error: predicted / measured - 1."""

    model: str
    format: str
    size: str
    measured_ms: float
    predicted_ms: float
    error: float


def built(model: str, form: str) -> Path:
    """Return a model's file in a format; make it where it is missing."""
    path = FOLDER / f"{model}-{form}.onnx"
    if not path.is_file():
        print(f"exporting {path}", file=sys.stderr)
        FOLDER.mkdir(parents=True, exist_ok=True)
        recipe = MODELS[model]
        module = recipe.model().eval()
        with quiet():
            layers = quantize_(module, form)
            shapes = recipe.dynamic_shapes()
            export_onnx(module, recipe.example_inputs(), path, layers=layers, dynamic_shapes=shapes)
    return path


def feed(session: Session, size: dict[str, int]) -> dict[str, NDArray[Any]]:
    """Make inputs of a size: ones for integers, noise for floats."""
    noise = np.random.default_rng(0)
    found = {}
    for port in session.inputs:
        shape = [size.get(d, 1) if isinstance(d, str) else d or 1 for d in port.shape]
        values = noise.random(shape) if port.dtype.kind == "f" else np.ones(shape)
        found[port.name] = values.astype(port.dtype)
    return found


def rows(model: str, device: Device, threads: int) -> Iterator[Row]:
    """Measure and predict every file of a model."""
    for form in FORMATS:
        path = built(model, form)
        session = Session(path, threads=threads)
        for size in SIZES[model]:
            inputs = feed(session, size)
            measured = 1e3 * fastest(partial(session.run, **inputs), SECONDS)
            predicted = predict(open_graph(path, size), device, threads).ms
            label = " x ".join(map(str, size.values()))
            yield Row(model, form, label, measured, predicted, predicted / measured - 1)


def summary(found: list[Row]) -> dict[str, float]:
    """Errors are absolute; ranks are of all rows, and of the formats of one model at one size."""
    errors = [abs(row.error) for row in found]
    cases = {(row.model, row.size) for row in found}
    within = [_ranks([r for r in found if (r.model, r.size) == case]) for case in cases]
    return {
        "median_error": float(np.median(errors)),
        "largest_error": max(errors),
        "rank_correlation": _ranks(found),
        "mean_rank_correlation_of_formats": float(np.mean(within)),
    }


def _ranks(found: list[Row]) -> float:
    measured = np.array([row.measured_ms for row in found])
    return minilm.spearman(measured, np.array([row.predicted_ms for row in found]))


def main() -> int:
    """Print the table; exit 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    for model in MODELS:
        for form in FORMATS:
            built(model, form)
    found = []
    for model in MODELS:
        device = detect(lambda stage: None)
        found += list(rows(model, device, options.threads))
    facts = {"load_before": load, "load_after": os.getloadavg()[0], **summary(found)}
    table = [asdict(row) for row in found]
    title = ", ".join(f"{key.replace('_', ' ')} {value:.3g}" for key, value in facts.items())
    report.show(report.rows_table(table, title), {**facts, "rows": table}, options.json)
    good = facts["median_error"] <= GOAL_ERROR and facts["rank_correlation"] >= GOAL_RANKS
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
