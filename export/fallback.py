"""The portable fallback: a model-local function of standard operators behind every smalti node.

It is traced from the operator's Torch reference, once for every signature (attributes and static
shapes) that a model has. An engine without our library runs the function; one with it, the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import onnx_ir as ir
import torch

from smalti.export.translate import OPSET, load_ops, trace
from smalti.runtime.ops.torch_op import DOMAIN

FALLBACKS = ("fold", "nofold", "none")
_EXAMPLE_SIZE = 3  # of the first dynamic dimension while tracing


class _References(torch.nn.Module):
    """The references of several nodes side by side, as one module of all their inputs.

    Tracing them together is quicker than one by one: Torch's exporter takes its time to start.
    """

    def __init__(self, nodes: list[ir.Node]) -> None:
        super().__init__()
        self.calls = [(load_ops()[node.op_type], _python_attributes(node)) for node in nodes]

    def forward(self, *groups: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        outputs = []
        for (op, attributes), inputs in zip(self.calls, groups, strict=True):
            absent = [None] * (len(op.inputs) - len(inputs))
            outputs.append(op.reference(*inputs, *absent, **attributes))
        return tuple(outputs)


def add_fallbacks(model: ir.Model, fallback: str) -> None:
    """Give every smalti node of `model` a function to fall back on.

    fallback: `fold` (the engine may decode weights once, at load, to float: fast), `nofold`
    (decodes at every run: small in memory) or `none`.
    """
    if fallback == "none":
        return
    numbers: dict[tuple[Any, ...], int] = {}
    examples: list[ir.Node] = []
    for node in smalti_nodes(model):
        number = numbers.setdefault(_signature(node), len(numbers))
        if number == len(examples):
            examples.append(node)
        node.overload = f"s{number}"
    for number, graph in enumerate(_graphs(examples) if examples else []):
        function = _function(examples[number], graph, number, fallback)
        model.functions[function.identifier()] = function
    for node in smalti_nodes(model):
        number = int(node.overload.removeprefix("s"))
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


def _python_attributes(node: ir.Node) -> dict[str, Any]:
    kinds = load_ops()[node.op_type].attributes
    return {
        k: kinds[k](v) if kinds[k] in (bool, int, float) else list(v)
        for k, v in _attributes(node).items()
    }


def _inputs(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None]


def _example(value: ir.Value, sizes: Iterator[int]) -> torch.Tensor:
    """Zeros of a value's shape; no two dynamic dimensions alike, lest they be taken for one."""
    assert value.dtype is not None
    dtype = torch.from_numpy(ir.DataType(value.dtype).numpy().type([0])).dtype
    return torch.zeros([next(sizes) if d is None else d for d in _dims(value)], dtype=dtype)


def _dynamic(value: ir.Value) -> dict[int, Any]:
    return {i: torch.export.Dim.DYNAMIC for i, d in enumerate(_dims(value)) if d is None}


def _graphs(nodes: list[ir.Node]) -> list[ir.Graph]:
    """Trace the references of all nodes; return one graph each."""
    sizes = count(_EXAMPLE_SIZE)
    graph = trace(
        _References(nodes).eval(),
        tuple(tuple(_example(v, sizes) for v in _inputs(node)) for node in nodes),
        dynamic_shapes=(tuple(tuple(_dynamic(v) for v in _inputs(n)) for n in nodes),),
    ).model.graph
    values = iter(graph.inputs)
    groups = [list(islice(values, len(_inputs(node)))) for node in nodes]
    return [
        ir.convenience.extract(graph, inputs, [output])
        for inputs, output in zip(groups, graph.outputs, strict=True)
    ]


def _function(node: ir.Node, graph: ir.Graph, number: int, fallback: str) -> ir.Function:
    _initializers_to_constants(graph)
    names = load_ops()[node.op_type].inputs
    if fallback == "nofold" and "codes" in names:
        _hang_on_first_input(graph, graph.inputs[names.index("codes")])
    _guard(graph, number)
    _shorten(graph)
    for value, name in zip(graph.inputs, names, strict=False):
        value.name = name
    graph.opset_imports.clear()
    graph.opset_imports[""] = OPSET
    return ir.Function(
        DOMAIN,
        node.op_type,
        f"s{number}",
        graph=graph,
        attributes=[ir.Attr("signature", ir.AttributeType.INT, None)],
    )


def _shorten(graph: ir.Graph) -> None:
    """Keep no notes, shapes, long names: they are most of a function, and much of a small file."""
    graph.metadata_props.clear()
    for node in graph:
        node.metadata_props.clear()
        node.name = None
    made = [value for node in graph for value in node.outputs]
    for value in (*graph.inputs, *made):
        value.metadata_props.clear()
        value.shape = value.type = None
    for number, value in enumerate(made):
        value.name = f"v{number}"


def _initializers_to_constants(graph: ir.Graph) -> None:
    """Functions have no initializers."""
    for name, value in sorted(graph.initializers.items(), reverse=True):
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


def _hang_on_first_input(graph: ir.Graph, codes: ir.Value) -> None:
    """Add 0 * size(x) to the codes, so that no engine decodes them before it sees x."""
    size = _named("Size", [graph.inputs[0]], "nofold_size")
    zero = _named("Constant", [], "nofold_zero", value_int=0)
    nothing = _named("Mul", [size.outputs[0], zero.outputs[0]], "nofold_nothing")
    cast = _named("Cast", [nothing.outputs[0]], "nofold_cast", to=int(ir.DataType.INT32))
    wide = _named("Cast", [codes], "nofold_wide", to=int(ir.DataType.INT32))
    sum_ = _named("Add", [wide.outputs[0], cast.outputs[0]], "nofold_sum")
    back = _named("Cast", [sum_.outputs[0]], "nofold_back", to=int(ir.DataType.UINT8))
    _replace_input(graph, codes, [size, zero, nothing, cast, wide, sum_, back])
