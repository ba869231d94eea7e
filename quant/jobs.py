"""Quantizes many layers at once: joblib decides where, a folder keeps what is done."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Memory, Parallel, delayed
from numpy.typing import NDArray
from torch import nn

from smalti.quant.hessian import Hessian
from smalti.quant.matrix import Quantized, quantize_matrix
from smalti.quant.targets import matrix_of
from smalti.quant.weight import WeightError
from smalti.runtime.format import AnyFormat

Array = NDArray[np.float32]
_MANY = 2_000_000  # parameters from which on more processes pay for their start


@dataclass(frozen=True)
class Task:
    """A layer to quantize, and how.

    rounding: nearest, ldlq or yaqa; learned: whether its codebook is fitted to it.
    """

    name: str
    layer: nn.Module
    form: AnyFormat
    rounding: str
    learned: bool = False


def jobs_that_pay(module: nn.Module) -> int:
    """Return how many layers to quantize at once: one a core, or one if the module is small."""
    many = sum(p.numel() for p in module.parameters()) > _MANY
    return (os.cpu_count() or 1) if many else 1


def quantize_all(
    tasks: Sequence[Task],
    hessians: Mapping[str, Hessian],
    jobs: int,
    resume: Path | None,
) -> Iterator[Quantized]:
    """Quantize layers, `jobs` at once, on the backend that `joblib.parallel_config` has chosen.

    resume: a folder of results, found again by all that decides them; None keeps nothing.

    Raises:
        WeightError: a weight is empty or not finite; names the layer.
        ValueError: feedback without a Hessian; names the layer.
    """
    folder = resume and resume / version("smalti")
    work = Memory(folder, verbose=0).cache(_quantize, ignore=["name"])
    calls = (delayed(work)(*_arguments(task, hessians.get(task.name))) for task in tasks)
    return iter(Parallel(n_jobs=jobs, return_as="generator")(calls))


def _arguments(task: Task, hessian: Hessian | None) -> tuple[Any, ...]:
    """What `_quantize` takes, fetched when the layer's turn has come."""
    if hessian is None and task.rounding != "nearest":
        raise ValueError(
            f"layer {task.name}: rounding={task.rounding!r} needs a Hessian, and the calibration"
            " data never reach it; keep the layer in float, or round to the nearest"
        )
    weight, adapts_bias = matrix_of(task.layer).numpy(), not isinstance(task.layer, nn.Embedding)
    return task.name, weight, task.form, hessian, task.rounding, adapts_bias, task.learned


def _quantize(
    name: str,
    weight: Array,
    form: AnyFormat,
    hessian: Hessian | None,
    rounding: str,
    adapts_bias: bool,
    learned: bool,
) -> Quantized:
    """Quantize on one thread: codes must not depend on how many layers run at once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return quantize_matrix(torch.tensor(weight), form, hessian, rounding, adapts_bias, learned)
    except WeightError as error:
        raise WeightError(f"layer {name}: {error}") from None
    finally:
        torch.set_num_threads(threads)
