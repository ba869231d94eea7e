"""Convolutions of one bit side by side: BinaryConv, VQConv at 2 bits, ONNX Runtime's fp32 and int8.

Run `python -m benchmarks.binary`. Engines run in turn, on images of one batch. `int8` rounds its
input and returns to float as a lone layer has to; `int8 alone` is spared that.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import click
import numpy as np
from onnx import helper, numpy_helper

from benchmarks.conv import Task, _onnx, _ours, _static_int8
from benchmarks.subject import Run, reuse_memory, session
from smalti.export.report import rows_table, stdout_console
from smalti.runtime.bench import time_interleaved
from smalti.runtime.ops.binary_conv.packing import pack_bits

OURS = "smalti binary"
TASKS = (Task(64, 56, 64, 3), Task(128, 28, 128, 3), Task(256, 14, 256, 3))

Row = dict[str, Any]


def _binary(task: Task, threads: int) -> Run:
    factors = np.full(task.outputs, 0.1, np.float32)
    constants = {"codes": pack_bits(task.kernels() >= 0), "alpha": factors, "bias": factors}
    attributes = {"out_channels": task.outputs, "strides": [1, 1], "dilations": [1, 1]}
    return _onnx(task, threads, "BinaryConv", "smalti", constants, **attributes)


def _int8_alone(task: Task, threads: int) -> Run:
    """QLinearConv from uint8 to uint8, one scale an output channel."""
    x = np.clip(np.round(task.image() * 32) + 128, 0, 255).astype(np.uint8)
    constants = {
        "x_scale": np.float32(1 / 32),
        "x_zero": np.uint8(128),
        "w": np.clip(np.round(task.kernels() * 32), -127, 127).astype(np.int8),
        "w_scale": np.full(task.outputs, 1 / 32, np.float32),
        "w_zero": np.zeros(task.outputs, np.int8),
        "y_scale": np.float32(1.0),
        "y_zero": np.uint8(128),
    }
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [helper.make_node("QLinearConv", ["x", *constants], ["y"], pads=[task.taps // 2] * 4)],
        "conv",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("y", kind, [1, task.outputs, None, None])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    imports = [helper.make_opsetid("", 21)]
    return session(
        helper.make_model(graph, opset_imports=imports, ir_version=10), {"x": x}, threads
    )


def runs(task: Task, threads: int) -> dict[str, Run]:
    """The same convolution in every way, by name."""
    return {
        OURS: _binary(task, threads),
        "smalti vq-2x16": _ours(task, threads, "vq-2x16"),
        "onnxruntime int8": _static_int8(task, threads),
        "onnxruntime int8 alone": _int8_alone(task, threads),
        "onnxruntime fp32": _onnx(task, threads, "Conv", "", {"w": task.kernels()}),
    }


def _rows(task: Task, threads: int, seconds: float) -> list[Row]:
    """`times_ours`: how many times as long as BinaryConv it takes."""
    timings = {t.name: t for t in time_interleaved(runs(task, threads), seconds)}
    return [
        {
            "task": task.name,
            "threads": threads,
            "name": t.name,
            "p10_ms": t.p10_ms,
            "p50_ms": t.p50_ms,
            "p90_ms": t.p90_ms,
            "gmacs_s": task.macs / t.p50_ms / 1e6,
            "times_ours": t.p50_ms / timings[OURS].p50_ms,
        }
        for t in timings.values()
    ]


@click.command()
@click.option("--seconds", type=float, default=0.5, help="Seconds an engine and task.")
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, as_json: bool) -> None:
    """Print all timings."""
    reuse_memory()
    rows: list[Row] = []
    for task in TASKS:
        for threads in (1, 2):
            print(f"{task.name}, {threads} threads", file=sys.stderr)
            rows += _rows(task, threads, seconds)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        stdout_console().print(rows_table(rows))


if __name__ == "__main__":
    main()
