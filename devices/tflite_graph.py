"""The graph of a `.tflite` file, which `open_artifact` has verified; its shapes are fixed."""

from __future__ import annotations

from smalti.devices.graph import Node, Value
from smalti.runtime.contents import DOMAIN
from smalti.runtime.flatbuffer import FlatBuffer, Record
from smalti.runtime.flexbuffer import read_map
from smalti.runtime.tflite_schema import CUSTOM, MODEL, TYPE_BITS

# LiteRT's builtin operators by number (schema.fbs), under their names in ONNX. All others just
# move or add numbers.
_OPS = {
    **{3: "Conv", 4: "DepthwiseConv", 7: "Gather", 9: "FullyConnected", 14: "Sigmoid"},
    **{22: "Reshape", 25: "Softmax", 28: "Tanh", 36: "Gather", 39: "Transpose", 47: "Exp"},
    **{67: "ConvTranspose", 126: "BatchMatMul", 150: "Gelu"},
}

Found = tuple[list[Node], dict[str, Value], tuple[str, ...]]


def read_graph(view: memoryview) -> Found:
    """Return nodes, values and the names of the outputs, of the first subgraph.

    Values are called by their numbers, after the names that constants have.
    """
    model = FlatBuffer(view).root(MODEL)
    graph = model["subgraphs"][0]
    names = _unique_names(graph["tensors"], model["buffers"])
    values = {
        name: Value(tuple(tensor["shape"]), TYPE_BITS[tensor["type"]])
        for name, tensor in zip(names, graph["tensors"], strict=True)
    }
    ops = [_op(code) for code in model["operator_codes"]]
    nodes = [_node(operator, ops, names) for operator in graph["operators"]]
    return nodes, values, tuple(names[i] for i in graph["outputs"])


def _unique_names(tensors: list[Record], buffers: list[Record]) -> list[str]:
    """Names as `smalti.runtime.tflite_file` gives them to constants."""
    seen: set[str] = set()
    found = []
    for number, tensor in enumerate(tensors):
        name = tensor["name"] or ""
        stored = buffers[tensor["buffer"]]
        is_constant = len(stored["data"]) or stored["size"]
        unique = name if name and name not in seen else f"{name}#{number}"
        if is_constant:
            seen.add(name)
        found.append(unique if is_constant else f"{number}: {name}")
    return found


def _op(code: Record) -> str:
    number = max(code["deprecated_builtin_code"], code["builtin_code"])
    if number == CUSTOM:
        return str(code["custom_code"])
    return _OPS.get(number, f"builtin {number}")


def _node(operator: Record, ops: list[str], names: list[str]) -> Node:
    op = ops[operator["opcode_index"]]
    ours = op.startswith(f"{DOMAIN}.")
    attributes = read_map(operator["custom_options"]) if ours else {}
    inputs = tuple(names[i] if i >= 0 else "" for i in operator["inputs"])
    return Node(op, inputs, tuple(names[i] for i in operator["outputs"]), attributes)
