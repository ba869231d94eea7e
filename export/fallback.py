"""The portable fallback: a model-local function of standard operators behind every smalti node.

It is traced from the operator's Torch reference, once for every signature (attributes and static
shapes) that a model has. An engine without our library runs the function; one with it, the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx_ir as ir
import torch
from smalti.export.translate import OPSET, load_ops, trace
from smalti.runtime.ops.torch_op import DOMAIN, TorchOp

FALLBACKS = ("fold", "nofold", "none")
_EXAMPLE_SIZE = 3  # of a dynamic dimension while tracing


class _Reference(torch.nn.Module):
    """An operator's reference with the attributes of one node, as a module of its inputs."""

    def __init__(self, op: TorchOp, attributes: dict[str, Any]) -> None:
        super().__init__()
        self.op, self.attributes = op, attributes

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        absent = [None] * (len(self.op.inputs) - len(inputs))
        return self.op.reference(*inputs, *absent, **self.attributes)


def add_fallbacks(model: ir.Model, fallback: str) -> None:
    """Give every smalti node of `model` a function to fall back on.

    fallback: `fold` (the engine may decode weights once, at load, to float: fast), `nofold`
    (decodes at every run: small in memory) or `none`.
    """
    if fallback == "none":
        return
    signatures: dict[tuple[Any, ...], int] = {}
    for node in smalti_nodes(model):
        number = signatures.setdefault(_signature(node), len(signatures))
        node.overload = f"s{number}"
        if number == len(model.functions):
            function = _function(node, number, fallback)
            model.functions[function.identifier()] = function
        node.attributes["signature"] = ir.AttrInt64("signature", number)


def smalti_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """All nodes of the main graph that are smalti operators."""
    return (node for node in model.graph if node.domain == DOMAIN)


def _dims(value: ir.Value) -> tuple[int | None, ...]:
    """Static sizes, None where a dimension is symbolic."""
    assert value.shape is not None, f"{value.name} has no shape"
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def _attributes(node: ir.Node) -> dict[str, Any]:
    return {name: attribute.value for name, attribute in node.attributes.items()}


def _signature(node: ir.Node) -> tuple[Any, ...]:
    attributes = tuple(sorted((k, str(v)) for k, v in _attributes(node).items()))
    inputs = tuple((_dims(v), str(v.dtype)) for v in node.inputs if v is not None)
    return (node.op_type, attributes, inputs)


def _example(value: ir.Value) -> torch.Tensor:
    sizes = [_EXAMPLE_SIZE + i if d is None else d for i, d in enumerate(_dims(value))]
    assert value.dtype is not None
    dtype = torch.from_numpy(ir.DataType(value.dtype).numpy().type([0])).dtype
    return torch.zeros(sizes, dtype=dtype)


def _dynamic(value: ir.Value) -> dict[int, Any]:
    return {i: torch.export.Dim.DYNAMIC for i, d in enumerate(_dims(value)) if d is None}


def _function(node: ir.Node, number: int, fallback: str) -> ir.Function:
    op = load_ops()[node.op_type]
    kinds = op.attributes
    attributes = {
        k: kinds[k](v) if kinds[k] in (bool, int, float) else list(v)
        for k, v in _attributes(node).items()
    }
    inputs = [v for v in node.inputs if v is not None]
    program = trace(
        _Reference(op, attributes).eval(),
        tuple(_example(v) for v in inputs),
        dynamic_shapes=(tuple(_dynamic(v) for v in inputs),),
        input_names=op.inputs[: len(inputs)],
        output_names=["y"],
    )
    graph = program.model.graph
    _initializers_to_constants(graph)
    if fallback == "nofold":
        _hang_on_first_input(graph)
    _guard(graph, number)
    for inner in graph:
        inner.metadata_props.clear()
    for value in [*graph.inputs, *graph.outputs]:
        value.metadata_props.clear()
    graph.opset_imports.clear()
    graph.opset_imports[""] = OPSET
    return ir.Function(
        DOMAIN,
        node.op_type,
        f"s{number}",
        graph=graph,
        attributes=[ir.Attr("signature", ir.AttributeType.INT, None)],
    )


def _initializers_to_constants(graph: ir.Graph) -> None:
    """Functions have no initializers."""
    for name, value in list(graph.initializers.items()):
        constant = ir.node("Constant", [], attributes={"value": value.const_value})
        constant.outputs[0].name = f"{name}_constant"
        graph.insert_before(graph[0], constant)
        value.replace_all_uses_with(constant.outputs[0])
        del graph.initializers[name]


def _replace_input(graph: ir.Graph, value: ir.Value, nodes: list[ir.Node]) -> None:
    """Let `nodes`, whose last output stands for `value`, come between it and its users."""
    uses = [(user, index) for user, index in value.uses() if user not in nodes]
    graph.insert_before(graph[0], nodes)
    for user, index in uses:
        user.replace_input_with(index, nodes[-1].outputs[0])


def _named(op_type: str, inputs: list[ir.Value], name: str, **attributes: Any) -> ir.Node:
    node = ir.node(op_type, inputs, attributes=attributes)
    node.outputs[0].name = name
    return node


def _guard(graph: ir.Graph, number: int) -> None:
    """Fail, rather than compute nonsense, in engines that ignore overloads.

    ONNX Runtime before 1.27 takes the last function of a name for all nodes. The node says its
    signature; where that is not ours, Gather runs out of its one element.
    """
    x = graph.inputs[0]
    asked = ir.node("Constant", [])
    asked.outputs[0].name = "guard_asked"
    asked.attributes["value_int"] = ir.RefAttr("value_int", "signature", ir.AttributeType.INT)
    ours = _named("Constant", [], "guard_ours", value_int=number)
    zero = _named("Constant", [], "guard_zero", value_ints=[0])
    off = _named("Sub", [asked.outputs[0], ours.outputs[0]], "guard_difference")
    distance = _named("Abs", [off.outputs[0]], "guard_distance")
    picked = _named("Gather", [zero.outputs[0], distance.outputs[0]], "guard_picked")
    cast = _named("CastLike", [picked.outputs[0], x], "guard_cast")
    added = _named("Add", [x, cast.outputs[0]], "guard_passed")
    _replace_input(graph, x, [asked, ours, zero, off, distance, picked, cast, added])


def _hang_on_first_input(graph: ir.Graph) -> None:
    """Add 0 * size(x) to the codes, so that no engine decodes them before it sees x."""
    x, codes = graph.inputs[0], graph.inputs[1] if len(graph.inputs) > 1 else None
    if codes is None:
        return
    size = _named("Size", [x], "nofold_size")
    zero = _named("Constant", [], "nofold_zero", value_int=0)
    nothing = _named("Mul", [size.outputs[0], zero.outputs[0]], "nofold_nothing")
    cast = _named("Cast", [nothing.outputs[0]], "nofold_cast", to=int(ir.DataType.INT32))
    wide = _named("Cast", [codes], "nofold_wide", to=int(ir.DataType.INT32))
    sum_ = _named("Add", [wide.outputs[0], cast.outputs[0]], "nofold_sum")
    back = _named("Cast", [sum_.outputs[0]], "nofold_back", to=int(ir.DataType.UINT8))
    _replace_input(graph, codes, [size, zero, nothing, cast, wide, sum_, back])
