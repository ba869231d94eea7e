"""OpenVINO: fp32, and weights of 8, 4 and 2 bits that it multiplies with int8 activations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.matmul.task import Candidate, Run, Task

GROUP = 128


def candidates(task: Task, threads: int) -> Iterator[Candidate]:
    """Those with scales of 128 columns, and dynamic quantization of as many activations.

    Raises:
        ModuleNotFoundError: OpenVINO is missing.
    """
    import openvino

    yield Candidate("openvino fp32", 32, partial(_build, openvino, task, threads, 32, 32.0))
    for bits in (2, 4, 8):
        stored = bits + (16 + bits) / GROUP
        name = f"openvino {bits}-bit, groups of {GROUP}"
        yield Candidate(name, stored, partial(_build, openvino, task, threads, bits, stored))


def _build(ov: Any, task: Task, threads: int, bits: int, stored: float) -> Run:
    xs = task.inputs(stored)
    inputs = [ov.opset13.parameter(x.shape, ov.Type.f32) for x in xs]
    products = [
        ov.opset13.matmul(x, _weights(ov, task, bits, seed), False, True)
        for seed, x in enumerate(inputs)
    ]
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,
    }
    compiled = ov.Core().compile_model(ov.Model(products, inputs), "CPU", settings)
    request = compiled.create_infer_request()
    for i, x in enumerate(xs):
        request.set_input_tensor(i, ov.Tensor(x, shared_memory=True))
    run: Run = request.infer
    return run


def _weights(ov: Any, task: Task, bits: int, seed: int) -> Any:
    """A subgraph that OpenVINO recognizes as compressed weights (rows, columns)."""
    rng, op = np.random.default_rng(seed), ov.opset13
    if bits == 32:
        return op.constant(rng.standard_normal((task.rows, task.columns), np.float32))
    shape = [task.rows, task.columns // GROUP, GROUP]
    kind = {2: ov.Type.u2, 4: ov.Type.u4, 8: ov.Type.u8}[bits]
    packed = rng.integers(0, 256, task.rows * task.columns * bits // 8).astype(np.uint8)
    codes = op.convert(op.constant(ov.Tensor(packed, shape, kind)), "f16")
    middle = np.full((*shape[:2], 1), 2 ** (bits - 1), np.float16)
    scales = np.full((*shape[:2], 1), 0.01, np.float16)
    scaled = op.multiply(op.subtract(codes, op.constant(middle)), op.constant(scales))
    flat = op.reshape(scaled, op.constant(np.array([task.rows, task.columns])), False)
    return op.convert(flat, "f32")
