"""Convolutions side by side: VQConv, ONNX Runtime's fp32 and static int8, OpenVINO, Torch.

Run `python -m benchmarks.conv`. Engines run in turn, on images of one batch; all are NCHW.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from benchmarks.subject import Run, reuse_memory, session
from smalti.export.report import rows_table, stdout_console
from smalti.runtime.bench import time_interleaved
from smalti.runtime.format import Format
from smalti.runtime.ops.case import random_packed
from smalti.runtime.packing import Header
from smalti.runtime.rotation import block_for

FORMATS = ("vq-2x16", "vq-2x64", "vq-1x16", "vq-2x256", "vq-4x256")
GOAL = "smalti vq-2x64"
BARS = {"onnxruntime int8": 1.0, "onnxruntime fp32": 2.0}

Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """An image (channels, side, side), convolved by `outputs` kernels of `taps` x `taps`."""

    channels: int
    side: int
    outputs: int
    taps: int

    @property
    def name(self) -> str:
        """Such as `3x3, 56x56x64 to 64`."""
        image = f"{self.side}x{self.side}x{self.channels}"
        return f"{self.taps}x{self.taps}, {image} to {self.outputs}"

    @property
    def macs(self) -> int:
        """Multiplications of one image."""
        return self.side**2 * self.channels * self.taps**2 * self.outputs

    def image(self) -> Any:
        """Return x (1, channels, side, side)."""
        shape = 1, self.channels, self.side, self.side
        return np.random.default_rng(0).standard_normal(shape, np.float32)

    def kernels(self) -> Any:
        """Return float kernels (outputs, channels, taps, taps)."""
        shape = self.outputs, self.channels, self.taps, self.taps
        return np.random.default_rng(1).standard_normal(shape, np.float32)


TASKS = (
    Task(64, 56, 64, 3),
    Task(512, 14, 512, 1),
    Task(128, 28, 128, 3),
    Task(256, 14, 256, 3),
    Task(64, 56, 256, 1),
)


def _onnx(
    task: Task, threads: int, op: str, domain: str, constants: Mapping[str, Any], **attributes: Any
) -> Run:
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    geometry: dict[str, Any] = {"kernel_shape": [task.taps] * 2, "pads": [task.taps // 2] * 4}
    node = helper.make_node(op, ["x", *constants], ["y"], domain=domain, **geometry, **attributes)
    return _session(task, threads, [node], stored)


def _session(task: Task, threads: int, nodes: list[Any], stored: list[Any]) -> Run:
    x = task.image()
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    found = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, task.outputs, None, None])
    graph = helper.make_graph(nodes, "conv", [given], [found], stored)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("smalti", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    return session(model, {"x": x}, threads)


def _ours(task: Task, threads: int, name: str) -> Run:
    columns = task.channels * task.taps**2
    block = block_for(columns)
    header = Header(Format.parse(f"{name}-g128"), task.outputs, columns, block, 0)
    packed = random_packed(np.random.default_rng(0), header)
    attributes: dict[str, Any] = {
        "out_channels": task.outputs,
        "step": 1e-4,
        "int8": 1,
        "block": block,
        "seed": 0,
    }
    attributes |= {"strides": [1, 1], "dilations": [1, 1]}
    return _onnx(task, threads, "VQConv", "smalti", packed, **attributes)


def _static_int8(task: Task, threads: int) -> Run:
    """QLinearConv between a quantization and a dequantization, one scale an output channel."""
    codes = np.clip(np.round(task.kernels() * 32), -127, 127).astype(np.int8)
    constants = {
        "x_scale": np.float32(1 / 32),
        "x_zero": np.uint8(128),
        "w": codes,
        "w_scale": np.full(task.outputs, 1 / 32, np.float32),
        "w_zero": np.zeros(task.outputs, np.int8),
        "y_scale": np.float32(1.0),
        "y_zero": np.uint8(128),
    }
    stored = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    geometry: dict[str, Any] = {"kernel_shape": [task.taps] * 2, "pads": [task.taps // 2] * 4}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["q"]),
        helper.make_node("QLinearConv", ["q", *constants], ["r"], **geometry),
        helper.make_node("DequantizeLinear", ["r", "y_scale", "y_zero"], ["y"]),
    ]
    return _session(task, threads, nodes, stored)


def _torch(task: Task, layout: torch.memory_format) -> Run:
    x = torch.from_numpy(task.image()).contiguous(memory_format=layout)
    kernels = torch.from_numpy(task.kernels()).contiguous(memory_format=layout)
    return lambda: torch.conv2d(x, kernels, padding=task.taps // 2)


def _openvino(task: Task, threads: int) -> Run:
    import openvino as ov

    x = ov.opset13.parameter(task.image().shape, ov.Type.f32)
    ends = [task.taps // 2] * 2
    y = ov.opset13.convolution(x, ov.opset13.constant(task.kernels()), [1, 1], ends, ends, [1, 1])
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(ov.Model([y], [x]), "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(0, ov.Tensor(task.image(), shared_memory=True))
    run: Run = request.infer
    return run


def _runs(task: Task, threads: int) -> Iterator[tuple[str, Run]]:
    for name in FORMATS:
        yield f"smalti {name}", _ours(task, threads, name)
    yield "onnxruntime fp32", _onnx(task, threads, "Conv", "", {"w": task.kernels()})
    yield "onnxruntime int8", _static_int8(task, threads)
    try:
        yield "openvino fp32", _openvino(task, threads)
    except ModuleNotFoundError as error:
        print(f"without OpenVINO: {error}", file=sys.stderr)
    yield "torch fp32", _torch(task, torch.contiguous_format)
    yield "torch fp32 channels last", _torch(task, torch.channels_last)


def _measured(task: Task, threads: int, seconds: float) -> list[Row]:
    torch.set_num_threads(threads)
    with torch.inference_mode():
        timings = time_interleaved(dict(_runs(task, threads)), seconds)
    return [
        {
            "task": task.name,
            "threads": threads,
            "name": t.name,
            "p10_ms": t.p10_ms,
            "p50_ms": t.p50_ms,
            "p90_ms": t.p90_ms,
            "gmacs_s": task.macs / t.p50_ms / 1e6,
        }
        for t in timings
    ]


def _goals(rows: list[Row]) -> Iterator[Row]:
    speeds = {row["name"]: row["gmacs_s"] for row in rows}
    for peer, bar in BARS.items():
        value = speeds[GOAL] / speeds[peer]
        name = f"{rows[0]['task']}: {GOAL} / {peer}"
        threads = rows[0]["threads"]
        yield {"name": name, "threads": threads, "value": value, "bar": bar, "met": value >= bar}


@click.command()
@click.option("--seconds", type=float, default=0.5, help="Seconds an engine and task.")
@click.option("--only", default="", help="Tasks whose names contain this.")
@click.option("--threads", type=int, multiple=True, default=(1, 2))
@click.option("--json", "as_json", is_flag=True)
def main(seconds: float, only: str, threads: tuple[int, ...], as_json: bool) -> None:
    """Print all timings and the goals."""
    reuse_memory()
    rows: list[Row] = []
    goals: list[Row] = []
    for task in (t for t in TASKS if only in t.name):
        for count in threads:
            print(f"{task.name}, {count} threads", file=sys.stderr)
            found = _measured(task, count, seconds)
            rows += found
            goals += _goals(found)
    if as_json:
        print(json.dumps({"rows": rows, "goals": goals}, indent=2))
    else:
        for table in (rows, goals):
            stdout_console().print(rows_table(table))


if __name__ == "__main__":
    main()
