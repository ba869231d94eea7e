"""VQMatMul in ONNX Runtime, in every format, with the rotation of its activations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.matmul.onnx_ring import ring
from benchmarks.matmul.task import Candidate, Run, Task
from smalti.runtime.format import Format
from smalti.runtime.ops.case import random_packed
from smalti.runtime.packing import Header
from smalti.runtime.rotation import block_for

FORMATS = ("vq-2x16", "vq-4x256", "vq-2x64", "vq-1x16", "vq-2x256")
GROUP = 128


def candidates(task: Task, threads: int) -> Iterator[Candidate]:
    """All formats with one scale for 128 columns."""
    for name in FORMATS:
        form = Format.parse(f"{name}-g{GROUP}")
        bits = form.code_bits / form.p + 16 / GROUP
        yield Candidate(f"smalti {name}", bits, partial(_build, task, threads, form, bits))


def _build(task: Task, threads: int, form: Format, bits: float) -> Run:
    block = block_for(task.columns)
    header = Header(form, task.rows, task.columns, block, 0)
    packed = random_packed(np.random.default_rng(0), header)
    steps = (
        ("HadamardTransform", "smalti", {"block": block, "seed": 0}),
        ("VQMatMul", "smalti", {"out_features": task.rows, "step": 1e-4, "int8": 1}),
    )
    constants = {f"1.{key}": value for key, value in packed.items()}
    return ring(task.inputs(bits), steps, constants, threads)
