"""ggml through its shared libraries: formats of its own, plain and repacked, whichever is quicker.

Needs libggml-cpu.so beside the libggml-base.so that `benchmarks.quality.peers.ggml` describes:
build the target `ggml-cpu` too, with GGML_NATIVE=ON.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np

from benchmarks.matmul.task import Candidate, Run, Task
from benchmarks.quality.peers.ggml import library_path

# Numbers of the types in ggml.h.
TYPES = {"F32": 0, "Q4_0": 2, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "IQ2_XXS": 16}
TYPES |= {"IQ3_XXS": 18, "IQ4_NL": 20, "TQ2_0": 35}
_REPACKED = ("Q4_0", "Q4_K", "IQ4_NL", "Q2_K", "Q8_0")
_SAMPLE_ROWS = 64  # rows that are quantized; the others repeat them, since i-quants take minutes
_ROOM = 1 << 26  # bytes for descriptions of tensors and graphs

_P, _I, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64


class _Params(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = (("size", ctypes.c_size_t), ("memory", _P), ("no_alloc", ctypes.c_bool))


_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "ggml_init": (_P, [_Params]),
    "ggml_new_tensor_2d": (_P, [_P, _I, _L, _L]),
    "ggml_mul_mat": (_P, [_P, _P, _P]),
    "ggml_new_graph_custom": (_P, [_P, ctypes.c_size_t, ctypes.c_bool]),
    "ggml_build_forward_expand": (None, [_P, _P]),
    "ggml_row_size": (ctypes.c_size_t, [_I, _L]),
    "ggml_quantize_init": (None, [_I]),
    "ggml_quantize_chunk": (ctypes.c_size_t, [_I, _P, _P, _L, _L, _L, _P]),
    "ggml_backend_cpu_init": (_P, []),
    "ggml_backend_cpu_reg": (_P, []),
    "ggml_backend_cpu_set_n_threads": (None, [_P, _I]),
    "ggml_backend_cpu_buffer_type": (_P, []),
    "ggml_backend_reg_dev_get": (_P, [_P, ctypes.c_size_t]),
    "ggml_backend_reg_get_proc_address": (_P, [_P, ctypes.c_char_p]),
    "ggml_backend_dev_supports_op": (ctypes.c_bool, [_P, _P]),
    "ggml_backend_alloc_ctx_tensors_from_buft": (_P, [_P, _P]),
    "ggml_backend_tensor_set": (None, [_P, _P, ctypes.c_size_t, ctypes.c_size_t]),
    "ggml_backend_graph_compute": (_I, [_P, _P]),
}


@cache
def _library() -> Any:
    """Both libraries' functions as one object."""
    base = library_path()
    loaded = [ctypes.CDLL(str(base)), ctypes.CDLL(str(base.with_name("libggml-cpu.so")))]
    found = type("Ggml", (), {})()
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded["cpu" in name and "buffer_type" not in name], name, None)
        function = function or getattr(loaded[1], name)
        function.restype, function.argtypes = result, arguments
        setattr(found, name, function)
    return found


def candidates(task: Task, threads: int) -> Iterator[Candidate]:
    """All types whose blocks fill the rows.

    Raises:
        ModuleNotFoundError: the libraries are missing; the message says how to get them.
    """
    ggml = _library()
    for name, repacked in product(TYPES, (False, True)):
        block = 32 if name in ("F32", "Q4_0", "Q8_0", "IQ4_NL") else 256
        if task.columns % block == 0 and (not repacked or name in _REPACKED):
            bits = 8 * ggml.ggml_row_size(TYPES[name], task.columns) / task.columns
            title = f"ggml {name}{', repacked' if repacked else ''}"
            yield Candidate(title, bits, partial(_build, task, threads, name, bits, repacked))


def _build(task: Task, threads: int, name: str, bits: float, repacked: bool) -> Run:
    """Raises ValueError where ggml does not repack this type on this CPU."""
    ggml, xs = _library(), task.inputs(bits)
    plain = ggml.ggml_backend_cpu_buffer_type()
    kept, made = (ggml.ggml_init(_Params(_ROOM, None, True)) for _ in range(2))
    weights = [ggml.ggml_new_tensor_2d(kept, TYPES[name], task.columns, task.rows) for _ in xs]
    ggml.ggml_backend_alloc_ctx_tensors_from_buft(kept, _repacking() if repacked else plain)
    inputs = [ggml.ggml_new_tensor_2d(made, 0, task.columns, task.batch) for _ in xs]
    graph = ggml.ggml_new_graph_custom(made, 4 * len(xs) + 64, False)
    for weight, x in zip(weights, inputs, strict=True):
        result = ggml.ggml_mul_mat(made, weight, x)
        if repacked and not ggml.ggml_backend_dev_supports_op(_device(), result):
            raise ValueError(f"ggml does not repack {name} here")
        ggml.ggml_build_forward_expand(graph, result)
    ggml.ggml_backend_alloc_ctx_tensors_from_buft(made, plain)
    packed = _packed(task, name)
    for weight, tensor, x in zip(weights, inputs, xs, strict=True):
        ggml.ggml_backend_tensor_set(weight, packed.ctypes.data, 0, packed.nbytes)
        ggml.ggml_backend_tensor_set(tensor, x.ctypes.data, 0, x.nbytes)
    backend = ggml.ggml_backend_cpu_init()
    ggml.ggml_backend_cpu_set_n_threads(backend, threads)
    return partial(ggml.ggml_backend_graph_compute, backend, graph)


def _device() -> Any:
    return _library().ggml_backend_reg_dev_get(_library().ggml_backend_cpu_reg(), 0)


def _repacking() -> Any:
    """The type of buffers that rearrange tensors when they are set: the first extra one."""
    ggml = _library()
    name = b"ggml_backend_dev_get_extra_bufts"
    address = ggml.ggml_backend_reg_get_proc_address(ggml.ggml_backend_cpu_reg(), name)
    extra = ctypes.CFUNCTYPE(ctypes.POINTER(_P), _P)(address)(_device())
    found = extra[0]
    if not found:
        raise ValueError("ggml was built without repacking")
    return found


def _packed(task: Task, name: str) -> Any:
    ggml, kind = _library(), TYPES[name]
    sample = np.random.default_rng(0).standard_normal((_SAMPLE_ROWS, task.columns), np.float32)
    importance = np.ones(task.columns, np.float32)
    packed = np.empty((_SAMPLE_ROWS, ggml.ggml_row_size(kind, task.columns)), np.uint8)
    ggml.ggml_quantize_init(kind)
    ends = sample.ctypes.data, packed.ctypes.data
    ggml.ggml_quantize_chunk(kind, *ends, 0, *sample.shape, importance.ctypes.data)
    return np.tile(packed, (-(-task.rows // _SAMPLE_ROWS), 1))[: task.rows].copy()
