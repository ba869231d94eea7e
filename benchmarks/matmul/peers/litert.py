"""LiteRT with XNNPACK: fp32, and its own quantizer's int8 and int4, one matrix at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.matmul.task import Candidate, Run, Task

_DENSE = "FULLY_CONNECTED"


def candidates(task: Task, threads: int) -> Iterator[Candidate]:
    """Those that are hot; LiteRT's files of one matrix make no ring."""
    if task.dram:
        return
    yield Candidate("litert fp32", 32, partial(_build, task, threads, None, None))
    yield Candidate("litert int8", 8, partial(_build, task, threads, 8, "CHANNELWISE"))
    yield Candidate("litert int4", 4, partial(_build, task, threads, 4, "CHANNELWISE"))
    yield Candidate(
        "litert int4, blocks of 32", 4.5, partial(_build, task, threads, 4, "BLOCKWISE_32")
    )


def _build(task: Task, threads: int, bits: int | None, granularity: str | None) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    content = _float_file(task)
    if bits is not None:
        content = _quantized(content, bits, str(granularity))
    opened = Interpreter(model_content=content, num_threads=threads)
    opened.allocate_tensors()
    opened.set_tensor(opened.get_input_details()[0]["index"], task.inputs(8)[0])
    run: Run = opened.invoke
    return run


@cache
def _float_file(task: Task) -> bytes:
    from smalti.export.tflite import export_tflite

    torch.manual_seed(0)
    layer = torch.nn.Linear(task.columns, task.rows, bias=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "float.tflite")
        export_tflite(layer.eval(), (torch.zeros(task.batch, task.columns),), path)
        return path.read_bytes()


def _quantized(content: bytes, bits: int, granularity: str) -> Any:
    from ai_edge_quantizer import qtyping, quantizer

    tool = quantizer.Quantizer(content)
    tool.add_dynamic_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName[_DENSE],
        num_bits=bits,
        granularity=qtyping.QuantGranularity[granularity],
    )
    return bytes(tool.quantize().quantized_model)
