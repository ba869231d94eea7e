"""ggml's own quantizers, called in the shared library that comes with llama-cpp-python.

`pip install --no-deps llama-cpp-python==0.3.36` compiles all of llama.cpp. The one library needed
here takes half a minute: unpack the sdist, and in an empty folder

    cmake -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON SDIST/vendor/llama.cpp
    cmake --build . --target ggml-base

then set SMALTI_GGML to the folder `bin` in it.

llama.cpp packs a row at a time. Where a row is no multiple of a type's block (256 weights for k-
and i-quants) it takes another, larger type; here rows are joined until they fill blocks, and the
type is the one asked for. That is kinder to ggml than llama.cpp is: HYPOTHETICAL(rows joined).
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib.util import find_spec
from math import lcm
from pathlib import Path

import torch
from torch import Tensor

LIBRARY = "libggml-base.so"
FOLDER = "SMALTI_GGML"  # environment variable: where the library is, without llama_cpp

# Numbers of the types in ggml.h.
TYPES = {"Q4_0": 2, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "IQ2_XXS": 16, "IQ2_XS": 17}
TYPES |= {"IQ3_XXS": 18, "IQ4_NL": 20, "IQ3_S": 21, "IQ2_S": 22, "IQ4_XS": 23, "MXFP4": 39}

_TO_FLOAT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_KIND, _SIZE, _FLOATS = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p


class _Traits(ctypes.Structure):
    """What ggml knows of a type; `struct ggml_type_traits` in ggml.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleave", ctypes.c_int64),
        ("bytes", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", _TO_FLOAT),
        ("from_float", ctypes.c_void_p),
    )


_SIGNATURES = {
    "ggml_quantize_init": (None, [_KIND]),
    "ggml_quantize_requires_imatrix": (ctypes.c_bool, [_KIND]),
    "ggml_row_size": (ctypes.c_size_t, [_KIND, _SIZE]),
    "ggml_type_size": (ctypes.c_size_t, [_KIND]),
    "ggml_blck_size": (_SIZE, [_KIND]),
    "ggml_get_type_traits": (ctypes.POINTER(_Traits), [_KIND]),
    "ggml_quantize_chunk": (
        ctypes.c_size_t,
        [_KIND, _FLOATS, ctypes.c_void_p, _SIZE, _SIZE, _SIZE, _FLOATS],
    ),
}


def library_path() -> Path:
    """Return the library of an installed llama_cpp, else the one in the folder SMALTI_GGML.

    Raises:
        ModuleNotFoundError: it is in neither; the message says how to get it.
    """
    spec = find_spec("llama_cpp")
    folders = [Path(spec.origin).parent / "lib"] if spec and spec.origin else []
    folders += [Path(os.environ[FOLDER])] if FOLDER in os.environ else []
    for folder in folders:
        if (folder / LIBRARY).is_file():
            return folder / LIBRARY
    places = ", ".join(map(str, folders)) or "no folder"
    raise ModuleNotFoundError(
        f"{LIBRARY} looked for in {places}; install llama-cpp-python, or set {FOLDER}"
    )


@cache
def _library() -> ctypes.CDLL:
    found = ctypes.CDLL(str(library_path()))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


@cache
def _traits(name: str) -> _Traits:
    """Return the traits of a type, after a check that its number still means this type."""
    library, kind = _library(), TYPES[name]
    traits: _Traits = library.ggml_get_type_traits(kind).contents
    sizes = library.ggml_blck_size(kind), library.ggml_type_size(kind)
    if traits.name.decode().upper() != name or (traits.block, traits.bytes) != sizes:
        raise RuntimeError(f"{library_path()} has another {name}; llama-cpp-python 0.3.36 fits")
    return traits


def bits(name: str) -> float:
    """Return the bits of a weight of this type, with all scales."""
    traits = _traits(name)
    return 8 * float(traits.bytes) / float(traits.block)


def ggml(weight: Tensor, name: str, importance: Tensor | None = None) -> Tensor:
    """Return `weight` (rows, columns) as ggml gives it back, float32.

    name: one of TYPES. importance: mean square of the inputs, (columns,), ggml's "imatrix".

    Raises:
        ModuleNotFoundError: the library is missing.
        ValueError: the rows fill no blocks, or the type needs an importance.
    """
    if importance is None and _library().ggml_quantize_requires_imatrix(TYPES[name]):
        raise ValueError(f"{name} needs an importance")
    joined = _rows_to_join(weight, name)
    source = weight.detach().float().contiguous().view(-1, joined * weight.shape[1])
    weights = None if importance is None else importance.float().repeat(joined)
    return _unpack(_pack(source, name, weights), name, source.numel()).view(weight.shape)


def _rows_to_join(weight: Tensor, name: str) -> int:
    """Return how many rows of `weight` together fill blocks."""
    rows, columns = weight.shape
    joined = lcm(columns, _traits(name).block) // columns
    if rows % joined:
        raise ValueError(
            f"{name}: rows of {columns} fill blocks {joined} at a time, and {rows} rows do not"
        )
    return joined


def _pack(source: Tensor, name: str, importance: Tensor | None) -> ctypes.Array[ctypes.c_char]:
    library, kind, (rows, columns) = _library(), TYPES[name], source.shape
    packed = ctypes.create_string_buffer(rows * library.ggml_row_size(kind, columns))
    library.ggml_quantize_init(kind)
    pointer = None if importance is None else importance.data_ptr()
    size = library.ggml_quantize_chunk(kind, source.data_ptr(), packed, 0, rows, columns, pointer)
    assert size == len(packed), (size, len(packed))
    return packed


def _unpack(packed: ctypes.Array[ctypes.c_char], name: str, count: int) -> Tensor:
    values = torch.empty(count, dtype=torch.float32)
    _traits(name).to_float(ctypes.addressof(packed), values.data_ptr(), count)
    return values
