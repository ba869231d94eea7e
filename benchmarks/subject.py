"""What is timed: implementations of one task, side by side, and what ours has to reach."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import helper as oh

from smalti.runtime import native

Array = Any
Run = Callable[[], Any]

_OPSET = 21
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
OURS = "smalti"


@dataclass(frozen=True)
class Goal:
    """`ours` has to be `bar` times as fast as the fastest of `peers` (prefixes of names)."""

    bar: float
    peers: tuple[str, ...]
    ours: str = OURS


@dataclass(frozen=True)
class Subject:
    """A task. `runs` gives every implementation, by name, for a number of threads."""

    name: str
    runs: Callable[[int], Mapping[str, Run]]
    goals: Sequence[Goal] = ()


def reuse_memory() -> None:
    """Let malloc keep large blocks: else whoever allocates its result pays for fresh pages."""
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def compiled(name: str, call: Run) -> dict[str, Run]:
    """`call` by torch.compile for as many threads as Torch now has; nothing where that fails."""
    ready: Run = torch.compile(
        call, dynamic=False, options={"cpp.threads": torch.get_num_threads()}
    )
    try:
        ready()
    except Exception as error:  # a compiler may be missing, or fail in any way
        print(f"without compiled {name}: {str(error).splitlines()[0]}", file=sys.stderr)
        return {}
    return {f"compiled {name}": ready}


def node(
    op: str,
    inputs: Sequence[Array | None],
    attributes: Mapping[str, Any],
    threads: int,
    *,
    domain: str = "smalti",
    outputs: int = 1,
) -> Run:
    """One operator in ONNX Runtime, its inputs and outputs bound once; None: an absent input."""
    given = {f"x{i}": np.ascontiguousarray(a) for i, a in enumerate(inputs) if a is not None}
    names = ["" if a is None else f"x{i}" for i, a in enumerate(inputs)]
    found = [f"y{i}" for i in range(outputs)]
    graph = oh.make_graph(
        [oh.make_node(op, names, found, domain=domain, **attributes)],
        op,
        [
            oh.make_tensor_value_info(k, oh.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for k, a in given.items()
        ],
        [oh.make_empty_tensor_value_info(k) for k in found],
    )
    imports = [oh.make_opsetid("", _OPSET), oh.make_opsetid("smalti", 1)]
    return session(oh.make_model(graph, opset_imports=imports, ir_version=10), given, threads)


def session(model: Any, given: Mapping[str, Array], threads: int) -> Run:
    """A model in ONNX Runtime with our library; `run()` returns its first output, an OrtValue."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.register_custom_ops_library(str(native.library_path()))
    opened = onnxruntime.InferenceSession(model.SerializeToString(), options)
    binding = opened.io_binding()
    for name, array in given.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for output in opened.get_outputs():
        binding.bind_output(output.name)
    opened.run_with_iobinding(binding)
    outputs = binding.get_outputs()
    for output, value in zip(opened.get_outputs(), outputs, strict=True):
        binding.bind_ortvalue_output(output.name, value)  # so that no run allocates

    def run() -> Array:
        opened.run_with_iobinding(binding)
        return outputs[0]

    return run
