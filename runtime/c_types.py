"""runtime/include/smalti.h for ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import (
    POINTER,
    c_char_p,
    c_float,
    c_int8,
    c_int32,
    c_int64,
    c_size_t,
    c_uint64,
    c_void_p,
)
from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = int | float | Sequence[int]

MAX_RANK = 8
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7, "float16": 10}
DTYPES = {number: np.dtype(name) for name, number in TYPES.items()}


class Tensor(ctypes.Structure):
    """`smalti_tensor`."""

    _fields_ = (
        ("data", c_void_p),
        ("type", c_int32),
        ("rank", c_int32),
        ("dims", c_int64 * MAX_RANK),
    )

    @classmethod
    def of(cls, array: NDArray[Any] | None) -> Tensor:
        """View an array, which has to outlive this; types and ranks the library lacks pass on."""
        tensor = cls()
        if array is not None:
            tensor.data, tensor.rank = array.ctypes.data, array.ndim
            tensor.type = TYPES.get(array.dtype.name, 0)
            tensor.dims[: min(array.ndim, MAX_RANK)] = array.shape[:MAX_RANK]
        return tensor


class Attribute(ctypes.Structure):
    """`smalti_attribute`."""

    _fields_ = (
        ("name", c_char_p),
        ("i", c_int64),
        ("f", c_float),
        ("ints", c_int64 * MAX_RANK),
        ("ints_count", c_int32),
    )

    @classmethod
    def of(cls, name: str, kind: str, value: Value) -> Attribute:
        """Fill in the member that `kind` (int, float or ints) names."""
        attribute = cls(name.encode())
        if isinstance(value, Sequence):
            attribute.ints_count = len(value)
            attribute.ints[: min(len(value), MAX_RANK)] = value[:MAX_RANK]
        elif kind == "float":
            attribute.f = value
        else:
            attribute.i = int(value)
        return attribute


_CALL = (c_char_p, POINTER(Tensor), c_int32, POINTER(Attribute), c_int32, POINTER(Tensor))
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "smalti_version": (c_char_p, ()),
    "smalti_op_count": (c_int32, ()),
    "smalti_op_name": (c_char_p, (c_int32,)),
    "smalti_op_signature": (c_char_p, (c_int32,)),
    "smalti_isa_count": (c_int32, ()),
    "smalti_isa_name": (c_char_p, (c_int32,)),
    "smalti_isa": (c_char_p, ()),
    "smalti_set_isa": (c_int32, (c_char_p,)),
    "smalti_kernels_created": (c_int64, ()),
    "smalti_scratch_allocations": (c_int64, ()),
    "smalti_shape": (c_int32, (*_CALL, c_char_p, c_size_t)),
    "smalti_run": (c_int32, (*_CALL, c_int32, c_char_p, c_size_t)),
    "smalti_signs": (None, (c_uint64, c_int64, POINTER(c_int8))),
}


def load(path: str) -> ctypes.CDLL:
    """Load a library that exports the interface.

    Raises:
        OSError: it does not load.
        AttributeError: it lacks a function.
    """
    library = ctypes.CDLL(path)
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
