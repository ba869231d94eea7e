"""Tensors of a `.tflite` file: shapes, types, quantization, and constants of the size they need."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from smalti.runtime.flatbuffer import FlatBuffer, MalformedError, Record
from smalti.runtime.tflite_schema import STRING, TYPE_BITS

_MAX_RANK = 8
_MAX_ELEMENTS = 1 << 40


class State(IntEnum):
    """Whether a tensor has a value: one of no elements can be read, but also be written once."""

    NOTHING = 0
    EMPTY = 1
    FULL = 2


@dataclass(frozen=True)
class Tensor:
    """What operators need to know: whether there are values before any of them ran."""

    name: str
    data: memoryview
    state: State
    is_quantized: bool


def read_tensor(record: Record, count: int, buffers: list[memoryview], file: FlatBuffer) -> Tensor:
    """Check a tensor, one of `count` in its subgraph."""
    name = record["name"] or ""
    try:
        elements = _elements(record)
        data = _data(record, buffers, elements)
        if len(data) and record["type"] == STRING:
            file.spend(len(data))
            _check_strings(data, elements)
        quantized = _check_quantization(record, count)
        return Tensor(name, data, _state(record, data, elements), quantized)
    except MalformedError as error:
        raise error.inside(f" ({name})" if name else "") from None


def _state(record: Record, data: memoryview, elements: int) -> State:
    if record["is_variable"] and len(data):
        raise MalformedError("a variable with a constant's bytes")
    if record["is_variable"] or len(data):
        return State.FULL
    return State.NOTHING if elements else State.EMPTY


def _elements(record: Record) -> int:
    for shape in (record["shape"], *(v["shape"] for v in record["variant_tensors"])):
        _check_dimensions("shape", shape, 0)
    signature, shape = record["shape_signature"], record["shape"]
    _check_dimensions("shape_signature", signature, -1)
    if len(signature) not in (0, len(shape)):
        raise MalformedError(f"shape_signature of {len(signature)} dimensions, {len(shape)} exist")
    elements: int = math.prod(shape)
    if elements >= _MAX_ELEMENTS:
        raise MalformedError(f"{elements} elements; the limit is {_MAX_ELEMENTS}", "shape")
    return elements


def _check_dimensions(field: str, shape: Sequence[int], lowest: int) -> None:
    if len(shape) > _MAX_RANK:
        raise MalformedError(f"rank {len(shape)}; the limit is {_MAX_RANK}", field)
    for size in shape:
        if size < lowest:
            raise MalformedError(f"a dimension of {size}", field)


def _data(record: Record, buffers: list[memoryview], elements: int) -> memoryview:
    """Return the constant's bytes, none where it is no constant."""
    if record["sparsity"] is not None:
        raise MalformedError("sparse tensors are not supported", "sparsity")
    if record["external_buffer"]:
        raise MalformedError("external buffers are not supported", "external_buffer")
    if not 0 <= record["type"] < len(TYPE_BITS):
        raise MalformedError(f"type {record['type']} is not known to this version")
    if record["buffer"] >= len(buffers):
        raise MalformedError(f"buffer {record['buffer']} of {len(buffers)}")
    data = buffers[record["buffer"]]
    bits = TYPE_BITS[record["type"]]
    if len(data) and bits and len(data) != (elements * bits + 7) // 8:
        shape = " x ".join(map(str, record["shape"])) or "1"
        raise MalformedError(f"{len(data)} bytes for {shape} elements of {bits} bits")
    return data


def _check_strings(data: memoryview, elements: int) -> None:
    """Check a constant of texts: how many, where each begins, where the last ends; the texts."""
    count = struct.unpack_from("<i", data)[0] if len(data) >= 4 else -1
    if count != elements or len(data) < 4 * (count + 2):
        raise MalformedError(f"{len(data)} bytes for {count} texts in {elements} elements")
    places = data[4 : 4 * (count + 2)].cast("i")
    last = 4 * (count + 2)
    for place in places:
        if not last <= place <= len(data):
            raise MalformedError(f"a text at byte {place} of {len(data)}")
        last = place


def _check_quantization(record: Record, count: int) -> bool:
    """Return whether the tensor's numbers have a scale."""
    given = record["quantization"]
    if given is None:
        return False
    shape, axis = record["shape"], given["quantized_dimension"]
    scales, zeros = len(given["scale"]), len(given["zero_point"])
    if scales and zeros and scales != zeros:
        raise MalformedError(f"{scales} scales and {zeros} zero points", "quantization")
    if scales > 1 and not (0 <= axis < len(shape) and shape[axis] == scales):
        raise MalformedError(f"{scales} scales for dimension {axis}", "quantization")
    if given["details_type"]:
        _check_details(given["details"], count)
    return scales > 0 or given["details_type"] > 0


def _check_details(details: Record | None, count: int) -> None:
    if details is None:
        raise MalformedError("its details are missing", "quantization")
    for field in ("scales", "zero_points"):
        index = details.get(field, -1)
        if not (-1 <= index < count):
            raise MalformedError(f"tensor {index} of {count}", f"quantization.details.{field}")
