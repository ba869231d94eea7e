"""libsmalti.so without an inference engine: numpy arrays in and out."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import smalti.runtime
from smalti.runtime.c_types import DTYPES, Attribute, Tensor, Value, load
from smalti.runtime.errors import MissingRuntimeError

Array = NDArray[Any]
Inputs = Mapping[str, Array | None] | Sequence[Array | None]

_FILE = "libsmalti.so"
_LINE = re.compile(r"(\w+)\((.*)\) -> (\w+): \w+(?:; (.*))?")


class NativeError(MissingRuntimeError, RuntimeError):
    """The native library is missing, does not load, or refused a call; the message says why."""


@dataclass(frozen=True)
class Signature:
    """An operator as the library declares it.

    inputs: their types, as in `f32`, or `f32?` where the input may be absent; attributes: their
    kinds (int, float, ints). Both in the operator's order.
    """

    name: str
    inputs: dict[str, str]
    attributes: dict[str, str]

    @property
    def optional_inputs(self) -> list[str]:
        """Names of the inputs that may be absent."""
        return [name for name, kind in self.inputs.items() if kind.endswith("?")]


def _find() -> Path:
    chosen = os.environ.get("SMALTI_LIBRARY")
    # An editable install keeps the library in another folder of the same package.
    folders = [Path(folder) for folder in smalti.runtime.__path__]
    paths = [Path(chosen)] if chosen else [folder / _FILE for folder in folders]
    for path in paths:
        if path.is_file():
            return path.absolute()
    raise NativeError(
        f"no native library at {' or '.join(map(str, paths))}; reinstall smalti "
        "(in a checkout: `make`), or set SMALTI_LIBRARY to its path"
    )


@cache
def _library() -> tuple[Path, ctypes.CDLL]:
    path = _find()
    try:
        return path, load(str(path))
    except (OSError, AttributeError) as error:
        raise NativeError(
            f"{path} does not load: {error}; reinstall smalti for this machine "
            "(in a checkout: `make`)"
        ) from None


def _c() -> ctypes.CDLL:
    return _library()[1]


def library_path() -> Path:
    """Return where the library is, once it has loaded: engines register it by its path.

    Raises:
        NativeError: it is absent or does not load, as when it was built for another CPU.
    """
    return _library()[0]


def version() -> str:
    """Return the library's version."""
    return str(_c().smalti_version().decode())


def ops() -> list[str]:
    """Return the names of the operators."""
    return [_c().smalti_op_name(i).decode() for i in range(_c().smalti_op_count())]


def signature(op: str) -> Signature:
    """Return the declaration of an operator.

    Raises:
        NativeError: the library has no such operator.
    """
    if op not in ops():
        raise NativeError(f"no operator {op!r}; the library has {', '.join(ops())}")
    line = _c().smalti_op_signature(ops().index(op)).decode()
    match = _LINE.fullmatch(line)
    if match is None:
        raise NativeError(f"the library prints an unknown kind of signature, {line!r}")
    return Signature(op, _pairs(match[2]), _pairs(match[4]))


def _pairs(text: str | None) -> dict[str, str]:
    return {k: v for k, v in (pair.split(": ") for pair in text.split(", "))} if text else {}


def isas() -> list[str]:
    """Return the instruction-set levels that this CPU can run: `portable` first, best last."""
    return [_c().smalti_isa_name(i).decode() for i in range(_c().smalti_isa_count())]


def isa() -> str:
    """Return the level in use."""
    return str(_c().smalti_isa().decode())


def set_isa(name: str) -> None:
    """Force a level for the whole process.

    Raises:
        ValueError: this CPU lacks it.
    """
    if _c().smalti_set_isa(name.encode()) != 0:
        raise ValueError(f"this CPU has no level {name!r}; it has {', '.join(isas())}")


@contextmanager
def forced_isa(name: str) -> Iterator[None]:
    """Force a level inside a `with` block."""
    before = isa()
    set_isa(name)
    try:
        yield
    finally:
        set_isa(before)


def kernels_created() -> int:
    """Return how many kernels engines have created from this library."""
    return int(_c().smalti_kernels_created())


def scratch_allocations() -> int:
    """How often operators have had to allocate memory so far; it stands still after warm-up."""
    return int(_c().smalti_scratch_allocations())


def signs(seed: int, count: int) -> NDArray[np.int8]:
    """Return the signs of a rotation; `smalti.runtime.rotation.signs` says which."""
    out = np.empty(count, np.int8)
    _c().smalti_signs(seed, count, out.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)))
    return out


def run_op(name: str, inputs: Inputs, attributes: Mapping[str, Value], threads: int = 1) -> Array:
    """Run an operator; inputs by name or in order, None for one that is absent.

    Raises:
        NativeError: the library refused, and says why.
    """
    declared = signature(name)
    _known(declared, "attribute", attributes, declared.attributes)
    if isinstance(inputs, Mapping):
        _known(declared, "input", inputs, declared.inputs)
        inputs = [inputs.get(key) for key in declared.inputs]
    arrays = [None if a is None else np.asarray(a, order="C") for a in inputs]
    tensors = (Tensor * len(arrays))(*(Tensor.of(a) for a in arrays))
    given = [Attribute.of(key, declared.attributes[key], v) for key, v in attributes.items()]
    values = (Attribute * len(given))(*given)
    call, out = (name.encode(), tensors, len(tensors), values, len(values)), Tensor()
    _try(_c().smalti_shape, *call, out)
    result = np.empty(out.dims[: out.rank], DTYPES[out.type])
    out.data = result.ctypes.data
    _try(_c().smalti_run, *call, out, threads)
    return result


def _known(op: Signature, what: str, given: Iterable[str], known: Mapping[str, str]) -> None:
    for key in given:
        if key not in known:
            raise NativeError(f"{op.name} has no {what} {key!r}; it takes {', '.join(known)}")


def _try(function: Callable[..., int], *arguments: object) -> None:
    error = ctypes.create_string_buffer(512)
    if function(*arguments, error, len(error)) != 0:
        raise NativeError(error.value.decode(errors="replace"))
