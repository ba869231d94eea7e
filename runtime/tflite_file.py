"""Reads a `.tflite` file and verifies all of it: LiteRT's loader believes whatever it maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smalti.runtime.contents import MANIFEST_KEY, Contents, parse_manifest
from smalti.runtime.flatbuffer import FlatBuffer, MalformedError, Record, check_each
from smalti.runtime.tflite_calls import check_calls
from smalti.runtime.tflite_graph import Graph
from smalti.runtime.tflite_operators import check_operators, operator_names
from smalti.runtime.tflite_schema import MODEL
from smalti.runtime.tflite_tensors import Tensor

_VERSION = 3
_MAX_BYTES = 1 << 40


def read_tflite(view: memoryview) -> Contents:
    """Verify a mapped file and tell what is in it.

    Raises:
        ValueError: anything in it is malformed, or refers to what is not there.
    """
    if len(view) > _MAX_BYTES:
        raise MalformedError(f"{len(view)} bytes; the limit is {_MAX_BYTES}")
    file = FlatBuffer(view)
    model = file.root(MODEL)
    _check_model(model)
    buffers = check_each("buffers", model["buffers"], _bytes, view)
    if len(buffers[0]):
        raise MalformedError(f"buffer 0 has to be empty, it has {len(buffers[0])} bytes")
    names = operator_names(model)
    graphs = check_each("subgraphs", model["subgraphs"], Graph, buffers, file)
    native = sum(check_each("subgraphs", graphs, lambda graph: check_operators(graph, names, file)))
    check_calls(model["subgraphs"])
    check_each("signature_defs", model["signature_defs"], _check_signature, graphs)
    quantized = tuple(t.name for t in _tensors(graphs) if t.is_quantized and len(t.data))
    return Contents(_manifest(model, buffers), _constants(graphs), native, len(view), quantized)


def _check_model(model: Record) -> None:
    if model["version"] != _VERSION:
        raise MalformedError(f"version {model['version']} of the schema; this reads {_VERSION}")
    for field in ("subgraphs", "buffers"):
        if not model[field]:
            raise MalformedError("there is not even one", field)
    for field in ("external_buffer_groups", "external_buffers"):
        if model[field]:
            raise MalformedError("external buffers are not supported", field)


def _bytes(buffer: Record, view: memoryview) -> memoryview:
    """Return the bytes of a buffer: beside its table, or appended to the file."""
    data, offset, size = buffer["data"], buffer["offset"], buffer["size"]
    if offset <= 1 and size == 0:
        return memoryview(data)
    if len(data) or offset <= 1:
        raise MalformedError(f"offset {offset}, size {size} and {len(data)} bytes inline")
    if size > len(view) - offset:
        raise MalformedError(f"{size} bytes at byte {offset} reach beyond the file's {len(view)}")
    return view[offset : offset + size]


def _manifest(model: Record, buffers: list[memoryview]) -> dict[str, Any]:
    def named(entry: Record) -> tuple[str, memoryview]:
        if entry["name"] is None:
            raise MalformedError("it has no name")
        if entry["buffer"] >= len(buffers):
            raise MalformedError(f"buffer {entry['buffer']} of {len(buffers)}")
        return entry["name"], buffers[entry["buffer"]]

    entries = dict(check_each("metadata", model["metadata"], named))
    try:
        return parse_manifest(str(entries.get(MANIFEST_KEY, b"{}"), "utf-8"))
    except ValueError as error:
        raise MalformedError(str(error), "manifest") from None


def _check_signature(signature: Record, graphs: list[Graph]) -> None:
    number = signature["subgraph_index"]
    if signature["signature_key"] is None:
        raise MalformedError("it has no key")
    if number >= len(graphs):
        raise MalformedError(f"subgraph {number} of {len(graphs)}")
    for field, ends in (("inputs", graphs[number].inputs), ("outputs", graphs[number].outputs)):
        check_each(field, signature[field], _check_end, set(ends))


def _check_end(entry: Record, ends: set[int]) -> None:
    if entry["name"] is None:
        raise MalformedError("it has no name")
    if entry["tensor_index"] not in ends:
        raise MalformedError(f"tensor {entry['tensor_index']} is not one of the subgraph's")


def _constants(graphs: list[Graph]) -> dict[str, memoryview]:
    """Return constants by name; an empty or repeated one gets the tensor's number."""
    found: dict[str, memoryview] = {}
    for number, tensor in enumerate(_tensors(graphs)):
        if len(tensor.data):
            unique = tensor.name and tensor.name not in found
            found[tensor.name if unique else f"{tensor.name}#{number}"] = tensor.data
    return found


def _tensors(graphs: list[Graph]) -> Iterator[Tensor]:
    return (tensor for graph in graphs for tensor in graph.tensors)
