"""MiniLM in LiteRT: fp32, LiteRT's own quantizer and smalti, side by side.

Run `python -m benchmarks.litert`. Quality is that of STS-B's test sentences (SMALTI_DATA), padded
to one length, since a .tflite file has fixed shapes. Latency is one sentence at a time, engines in
turn. Files and what they embed are kept in build/litert; calibration in build/quality.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from smalti.export.report import rows_table, stdout_console
from smalti.export.verify import relative_error
from smalti.models import minilm
from smalti.runtime.bench import time_interleaved
from smalti.runtime.session import Session

LENGTH = 48  # tokens; STS-B's longest test sentence has 46
EQUAL_TEXTS = 20
FOLDER = Path("build/litert")
CALIBRATION = Path("build/quality/minilm")
SENTENCES = (
    "A tile is small.",
    "Many small tiles together make a mosaic that can be seen from far away.",
)

Array = Any
Row = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """A file: how it is made, and what for."""

    name: str
    stem: str
    build: Callable[[Path], None]
    plan: Mapping[str, str] | None = None
    data: str = "none"


def _inputs(length: int = LENGTH) -> tuple[torch.Tensor, torch.Tensor]:
    ids, mask = _padded(*minilm.tokenize(SENTENCES[:1]), length)
    return torch.from_numpy(ids), torch.from_numpy(mask)


def _padded(ids: Array, mask: Array, length: int) -> tuple[Array, Array]:
    room = ((0, 0), (0, length - ids.shape[1]))
    return np.pad(ids, room), np.pad(mask, room)


def _build_fp32(path: Path) -> None:
    from smalti.export.tflite import export_tflite

    export_tflite(minilm.model(), _inputs(), path)


def _by_recipe(name: str) -> Callable[[Path], None]:
    """By a ready recipe of LiteRT's quantizer."""

    def build(path: Path) -> None:
        from ai_edge_quantizer import quantizer, recipes

        tool = quantizer.Quantizer(str(path.with_name("fp32.tflite")))
        tool.load_quantization_recipe(str(Path(recipes.__path__[0]) / f"{name}_recipe.json"))
        tool.quantize().export_model(str(path), overwrite=True)

    return build


def _build_int4(path: Path) -> None:
    """Int8 for all that has it, and int4 in blocks of 32 for the dense layers."""
    from ai_edge_quantizer import qtyping, quantizer, recipe

    tool = quantizer.Quantizer(str(path.with_name("fp32.tflite")))
    tool.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    tool.add_dynamic_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.FULLY_CONNECTED,
        num_bits=4,
        granularity=qtyping.QuantGranularity.BLOCKWISE_32,
    )
    tool.quantize().export_model(str(path), overwrite=True)


def _ours(plan: Mapping[str, str], data: str, activations: str = "int8") -> Callable[[Path], None]:
    def build(path: Path) -> None:
        from benchmarks.quality.ours import Calibrations
        from benchmarks.quality.subjects import MiniLM
        from smalti.export.onnx import export_onnx
        from smalti.export.tflite import export_tflite
        from smalti.quant import quantize_

        module, hessians = minilm.model(), {}
        if data != "none":
            hessians = Calibrations(MiniLM(), CALIBRATION).of(data)[1]
        keep = {"jobs": 2, "resume": CALIBRATION, "activations": activations}
        layers = quantize_(module, plan, hessians, **keep)  # type: ignore[arg-type]
        export_tflite(module, _inputs(), path, layers=layers)
        if activations == "float":
            export_onnx(module, _inputs(), path.with_suffix(".onnx"), layers=layers)

    return build


def _our_variant(bits: int, form: str, data: str) -> Variant:
    plan = {"*": form}
    label = {"none": "no data", "random": "made-up data", "recipe": "calibrated"}[data]
    return Variant(f"smalti {bits}-bit, {label}", f"smalti{bits}-{data}", _ours(plan, data))


FORMATS = {4: "vq-2x256-g128", 3: "vq-2x64-g128", 2: "vq-4x256-g128"}
VARIANTS = (
    Variant("fp32", "fp32", _build_fp32),
    Variant("LiteRT dynamic int8", "int8", _by_recipe("dynamic_wi8_afp32")),
    Variant("LiteRT int4, blocks of 32", "int4", _build_int4),
    Variant("LiteRT int4, Hadamard", "hadamard", _by_recipe("dynamic_wi4_afp32_hadamard")),
    *(_our_variant(bits, form, "random") for bits, form in FORMATS.items()),
    *(_our_variant(bits, form, "recipe") for bits, form in FORMATS.items()),
)


def _run_of(session: Session) -> Callable[[Array, Array], list[Array]]:
    """One sentence at a time, padded to the length of the file."""

    def run(ids: Array, mask: Array) -> list[Array]:
        ids, mask = _padded(ids, mask, LENGTH)
        rows = [session.run(ids[i : i + 1], mask[i : i + 1])[0] for i in range(len(ids))]
        return [np.concatenate(rows)]

    return run


def _quality(path: Path, expected: Array | None) -> tuple[Array, dict[str, float]]:
    """Embeddings of STS-B's test sentences, their score and distance from fp32's."""
    kept = path.with_suffix(".npy")
    file = minilm.stsb_file()
    assert file is not None, "set SMALTI_DATA to the folder of stsb-en/"
    first, second, score = minilm.stsb_pairs(file)
    sentences = sorted({*first, *second})
    if not kept.is_file() or kept.stat().st_mtime < path.stat().st_mtime:
        np.save(kept, minilm.encode(_run_of(Session(path, threads=2)), sentences))
    found = np.load(kept)
    at = {s: i for i, s in enumerate(sentences)}
    a, b = found[[at[s] for s in first]], found[[at[s] for s in second]]
    against = found if expected is None else expected
    drop = float(1 - (found * against).sum(1).mean())
    return found, {"drop": drop, "score": minilm.spearman((a * b).sum(1), score)}


def _latencies(paths: Mapping[str, Path], threads: int, seconds: float) -> dict[str, float]:
    arrays = [a.numpy() for a in _inputs()]
    sessions = {name: Session(path, threads=threads) for name, path in paths.items()}

    def timed(session: Session) -> Callable[[], object]:
        return lambda: session.run(*arrays)

    found = time_interleaved({n: timed(s) for n, s in sessions.items()}, seconds)
    return {t.name: t.p50_ms for t in found}


def _equality(folder: Path) -> list[Row]:
    """How far the .tflite file is from the .onnx file, activations in float."""
    rows = []
    for bits, form in FORMATS.items():
        path = folder / f"float{bits}.tflite"
        if not path.is_file():
            _ours({"*": form}, "none", "float")(path)
        a, b = Session(path), Session(path.with_suffix(".onnx"))
        ids, mask = _padded(*minilm.tokenize(list(SENTENCES) * (EQUAL_TEXTS // 2)), LENGTH)
        pairs = [(ids[i : i + 1], mask[i : i + 1]) for i in range(len(ids))]
        errors = [relative_error(a.run(*p)[0], b.run(*p)[0]) for p in pairs]
        rows.append({"format": form, "largest error against .onnx": max(errors)})
    return rows


def _goals(rows: Sequence[Row]) -> list[Row]:
    by_name = {row["name"]: row for row in rows}
    ours = by_name["smalti 3-bit, calibrated"]
    int4, fp32 = by_name["LiteRT int4, blocks of 32"], by_name["fp32"]
    found = []
    for threads in (1, 2):
        key = f"ms_{threads}t"
        found += [
            ("3-bit against LiteRT int4", threads, ours[key] / int4[key], 1.15),
            ("3-bit against fp32", threads, ours[key] / fp32[key], 1.0),
        ]
    found.append(("3-bit, bytes against LiteRT int4", 0, ours["file_mb"] / int4["file_mb"], 2 / 3))
    found.append(("3-bit, drop against LiteRT int4", 0, ours["drop"] / int4["drop"], 0.8))
    return [
        {"name": name, "threads": threads or None, "value": value, "bar": bar, "met": value <= bar}
        for name, threads, value, bar in found
    ]


@click.command()
@click.option("--seconds", type=float, default=4.0, help="Seconds a file and number of threads.")
@click.option("--only", default="", help="Build these stems only (a comma between), measure none.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, as_json: bool) -> None:
    """Print the table, how equal both engines are, and the goals."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    paths = {}
    for variant in VARIANTS:
        path = paths[variant.name] = FOLDER / f"{variant.stem}.tflite"
        if not path.is_file() and (not only or variant.stem in only.split(",")):
            click.echo(f"building {variant.name}", err=True)
            variant.build(path)
    if only:
        return
    rows: list[Row] = []
    expected: Array | None = None
    for name, path in paths.items():
        click.echo(f"quality of {name}", err=True)
        found, quality = _quality(path, expected)
        expected = found if expected is None else expected
        rows.append({"name": name, "file_mb": path.stat().st_size / 1e6, **quality})
    equal = _equality(FOLDER)
    for threads in (1, 2):
        click.echo(f"latency with {threads} threads", err=True)
        times = _latencies(paths, threads, seconds)
        for row in rows:
            row[f"ms_{threads}t"] = times[row["name"]]
    goals = _goals(rows)
    if as_json:
        click.echo(json.dumps({"rows": rows, "equality": equal, "goals": goals}, indent=2))
        return
    for table in (rows, equal, goals):
        stdout_console().print(rows_table(table))


if __name__ == "__main__":
    main()
