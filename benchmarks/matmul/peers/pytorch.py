"""Torch: fp32, int8 weights with activations quantized on the fly, and bfloat16 times int4."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.ao.nn.quantized import dynamic

from benchmarks.matmul.task import Candidate, Run, Task

GROUP = 128


def candidates(task: Task, threads: int) -> Iterator[Candidate]:
    """Threads are those that Torch now has."""
    yield Candidate("torch fp32", 32, partial(_ring, task, 32, _float))
    yield Candidate("torch int8 dynamic", 8, partial(_ring, task, 8, _dynamic))
    yield Candidate("torch int4 x bfloat16", 4.25, partial(_ring, task, 4.25, _int4))


def _ring(task: Task, bits: float, make: Callable[[Task], Callable[[Any], Any]]) -> Run:
    xs = [torch.from_numpy(x) for x in task.inputs(bits)]
    pairs = [(make(task), x) for x in xs]

    def run() -> None:
        for product, x in pairs:
            product(x)

    return run


def _weights(task: Task) -> torch.Tensor:
    return torch.randn(task.rows, task.columns)


def _float(task: Task) -> Callable[[Any], Any]:
    weights = _weights(task)
    return lambda x: torch.nn.functional.linear(x, weights)


def _dynamic(task: Task) -> Callable[[Any], Any]:
    layer = dynamic.Linear(task.columns, task.rows, bias_=False)
    quantized = torch.quantize_per_tensor(_weights(task), 0.01, 0, torch.qint8)
    layer.set_weight_bias(quantized, None)
    return layer


def _int4(task: Task) -> Callable[[Any], Any]:
    codes = torch.randint(0, 16, (task.rows, task.columns), dtype=torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    shape = task.columns // GROUP, task.rows, 2
    scales = torch.full(shape, 0.01, dtype=torch.bfloat16)
    multiply = torch.ops.aten._weight_int4pack_mm_for_cpu
    return lambda x: multiply(x.bfloat16(), packed, GROUP, scales)
