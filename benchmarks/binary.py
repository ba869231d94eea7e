"""Convolutions of one bit side by side: BinaryConv, VQConv at 2 bits, ONNX Runtime in fp32 and int8.

Run `python -m benchmarks.binary`. Peers run in turn; every number is a ratio's half. All but
`QLinearConv` take and give float32; that one is spared the rounding of its input and output.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
import numpy as np

from benchmarks.interpolation.subject import Array, Run, node, reuse_memory
from smalti.export.report import rows_table, stdout_console
from smalti.runtime.bench import Timing, time_interleaved
from smalti.runtime.format import Format
from smalti.runtime.ops.binary_conv.packing import pack_bits
from smalti.runtime.ops.case import random_packed
from smalti.runtime.packing import Header
from smalti.runtime.rotation import block_for

OURS = "BinaryConv"
SHAPES = ((56, 64, 64), (28, 128, 128), (14, 256, 256))  # pixels a side, channels, outputs
_WINDOW = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1]}

Row = dict[str, Any]


def runs(side: int, channels: int, outputs: int, threads: int) -> dict[str, Run]:
    """The same convolution, 3 x 3 with padding, four times."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, channels, side, side), np.float32)
    weight = rng.standard_normal((outputs, channels, 3, 3), np.float32)
    alpha, bias = (rng.standard_normal(outputs, np.float32) for _ in range(2))
    ours = {"out_channels": outputs, **_WINDOW}
    return {
        OURS: node("BinaryConv", [x, pack_bits(weight >= 0), alpha, bias], ours, threads),
        "VQConv, vq-2x16": _vq_conv(x, outputs, bias, ours, threads),
        "onnxruntime fp32": node("Conv", [x, weight, bias], _WINDOW, threads, domain=""),
        "onnxruntime int8": _int8(rng, x.shape, weight.shape, threads),
    }


def _vq_conv(x: Array, outputs: int, bias: Array, window: Mapping[str, Any], threads: int) -> Run:
    columns = 9 * x.shape[1]
    block = block_for(columns)
    header = Header(Format(2, 16), outputs, columns, block, 0)
    packed = random_packed(np.random.default_rng(0), header)
    attributes = {**window, "step": 0.01, "int8": 1, "block": block, "seed": 0}
    return node("VQConv", [x, *packed.values(), bias], attributes, threads)


def _int8(rng: np.random.Generator, x: Any, weight: Any, threads: int) -> Run:
    """Unsigned activations and a scale for each output: ONNX Runtime's fastest."""
    step, zero = np.float32(0.02), np.uint8(128)
    outputs = weight[0]
    given = [
        rng.integers(0, 256, x).astype(np.uint8),
        step,
        zero,
        rng.integers(-127, 128, weight).astype(np.int8),
        np.full(outputs, step),
        np.zeros(outputs, np.int8),
        np.float32(1.0),
        zero,
        rng.integers(-1000, 1000, outputs).astype(np.int32),
    ]
    return node("QLinearConv", [np.asarray(a) for a in given], _WINDOW, threads, domain="")


def rows(shape: tuple[int, int, int], threads: int, times: Mapping[str, Timing]) -> list[Row]:
    """One row an implementation; `times_ours`: how many times as long as BinaryConv it takes."""
    side, channels, outputs = shape
    macs = 9 * side * side * channels * outputs
    return [
        {
            "task": f"{side}x{side}x{channels} to {outputs}",
            "threads": threads,
            "name": name,
            "p10_ms": t.p10_ms,
            "p50_ms": t.p50_ms,
            "p90_ms": t.p90_ms,
            "gmac_per_s": macs / t.p50_ms / 1e6,
            "times_ours": t.p50_ms / times[OURS].p50_ms,
        }
        for name, t in times.items()
    ]


@click.command()
@click.option("--seconds", type=float, default=1.0, help="Seconds an implementation.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, as_json: bool) -> None:
    """Print all timings."""
    reuse_memory()
    found: list[Row] = []
    for shape in SHAPES:
        for threads in (1, 2):
            timings = {t.name: t for t in time_interleaved(runs(*shape, threads), seconds)}
            found += rows(shape, threads, timings)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        stdout_console().print(rows_table(found))


if __name__ == "__main__":
    main()
