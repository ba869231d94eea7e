"""ONNX Runtime's own products: fp32, dynamic int8, MatMulNBits at its best setting, NF4."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.matmul.onnx_ring import Step, ring
from benchmarks.matmul.task import Candidate, Run, Task

_MICROSOFT = "com.microsoft"
_SCALE = np.float32(0.01)
_MIDDLE = {2: 0xAA, 4: 0x88, 8: 0x80}  # bytes of zero points


def candidates(task: Task, threads: int) -> Iterator[Candidate]:
    """All of them; scales are float32, since computed float16 scales go wrong at level 4."""
    yield Candidate("onnxruntime fp32", 32, partial(_float, task, threads))
    yield Candidate("onnxruntime int8 dynamic", 8, partial(_dynamic, task, threads))
    for bits in (2, 4, 8):
        for block in (128, 32):
            name = f"onnxruntime {bits}-bit, blocks of {block}"
            stored = bits + (32 + bits) / block
            yield Candidate(name, stored, partial(_n_bits, task, threads, bits, block, stored))
    yield Candidate("onnxruntime nf4, blocks of 64", 4.5, partial(_nf4, task, threads))


def _float(task: Task, threads: int) -> Run:
    weights = np.random.default_rng(0).standard_normal((task.columns, task.rows), np.float32)
    return ring(task.inputs(32), (("MatMul", "", {}),), {"0.b": weights}, threads)


def _dynamic(task: Task, threads: int) -> Run:
    shape = task.columns, task.rows
    constants = {
        "0.b": np.random.default_rng(0).integers(-127, 128, shape).astype(np.int8),
        "0.scale": np.full(task.rows, _SCALE),
    }
    step: Step = ("DynamicQuantizeMatMul", _MICROSOFT, {})
    return ring(task.inputs(8), (step,), constants, threads)


def _n_bits(task: Task, threads: int, bits: int, block: int, stored: float) -> Run:
    groups = task.columns // block
    shape = task.rows, groups, block * bits // 8
    constants = {
        "0.b": np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8),
        "0.scales": np.full((task.rows, groups), _SCALE),
        "0.zeros": np.full((task.rows, -(-groups * bits // 8)), _MIDDLE[bits], np.uint8),
    }
    sizes = _sizes(task) | {"bits": bits, "block_size": block, "accuracy_level": 4}
    return ring(task.inputs(stored), (("MatMulNBits", _MICROSOFT, sizes),), constants, threads)


def _nf4(task: Task, threads: int) -> Run:
    count = task.rows * task.columns
    constants = {
        "0.b": np.random.default_rng(0).integers(0, 256, count // 2).astype(np.uint8),
        "0.absmax": np.full(count // 64, _SCALE),
    }
    sizes = _sizes(task) | {"block_size": 64, "quant_type": 1}
    return ring(task.inputs(4.5), (("MatMulBnb4", _MICROSOFT, sizes),), constants, threads)


def _sizes(task: Task) -> dict[str, Any]:
    return {"K": task.columns, "N": task.rows}
