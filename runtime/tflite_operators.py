"""Operators of a `.tflite` file: what they are, and that each finds its inputs."""

from __future__ import annotations

from smalti.runtime.contents import DOMAIN
from smalti.runtime.flatbuffer import FlatBuffer, MalformedError, Record, check_each
from smalti.runtime.flexbuffer import read_map
from smalti.runtime.tflite_graph import Graph
from smalti.runtime.tflite_schema import CUSTOM

_ATTRIBUTE_COST = 8  # of a byte of attributes, beside one of tables


def operator_names(model: Record) -> list[str]:
    """Return the names of custom operators, and numbers of the engine's, as the file has them."""
    return check_each("operator_codes", model["operator_codes"], _name)


def _name(code: Record) -> str:
    number: int = max(code["deprecated_builtin_code"], code["builtin_code"])
    if number < 0:
        raise MalformedError(f"operator {number} does not exist")
    if number != CUSTOM:
        return f"builtin {number}"
    if not code["custom_code"]:
        raise MalformedError("a custom operator without a name")
    return str(code["custom_code"])


def check_operators(graph: Graph, names: list[str], file: FlatBuffer) -> int:
    """Walk through the operators in the order they run in; return how many are ours."""
    native: int = sum(check_each("operators", graph.operators, _check, graph, names, file))
    graph.consume("outputs", graph.outputs)
    return native


def _check(operator: Record, graph: Graph, names: list[str], file: FlatBuffer) -> bool:
    index = operator["opcode_index"]
    if index >= len(names):
        raise MalformedError(f"{index} of {len(names)}", "opcode_index")
    try:
        graph.consume("inputs", graph.known("inputs", operator["inputs"]))
        graph.known("intermediates", operator["intermediates"])
        graph.produce("outputs", graph.known("outputs", operator["outputs"], 0))
        return _check_attributes(operator, names[index], file)
    except MalformedError as error:
        raise error.inside(f" ({names[index]})") from None


def _check_attributes(operator: Record, name: str, file: FlatBuffer) -> bool:
    offset, size = operator["large_custom_options_offset"], operator["large_custom_options_size"]
    ours: bool = name.startswith(f"{DOMAIN}.")
    if (offset or size) and (ours or size > file.size - offset):
        raise MalformedError(f"{size} bytes at byte {offset}", "large_custom_options")
    if ours:
        options = operator["custom_options"]
        file.spend(_ATTRIBUTE_COST * len(options))
        try:
            read_map(options)
        except ValueError as error:
            raise MalformedError(str(error), "custom_options") from None
    return ours
