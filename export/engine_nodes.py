"""Nodes of engines for weights in block formats.

The exporter sees one private node for each operator of `quant/engine_ops.py`. Here, after its
optimizer, which would decode small weights, they become `com.microsoft` and standard nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from smalti.quant.engine_ops import SCALES, byte_values

ENGINE_DOMAIN = "smalti.engine"
# Attributes that let a node round activations to int8, their values with it and without it.
ROUNDING = {"int8": (1, 0), "accuracy_level": (4, 1)}
_MICROSOFT = "com.microsoft"
_NF4 = 1  # `quant_type` of MatMulBnb4


def rounding_attributes(model: ir.Model) -> list[tuple[ir.Node, str]]:
    """Nodes that round activations to int8, and the attribute that says so."""
    return [
        (node, name)
        for node in model.graph
        for name, (on, _) in ROUNDING.items()
        if node.attributes.get_int(name, on + 1) == on
    ]


def lower(model: ir.Model) -> None:
    """Replace the private nodes of a model."""
    for node in [n for n in model.graph if n.domain == ENGINE_DOMAIN]:
        builder = _Builder(model, node)
        found = _LOWERINGS[node.op_type](builder, *node.inputs)
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], builder.tape.nodes, node.outputs, [found]
        )
    model.opset_imports.pop(ENGINE_DOMAIN, None)


class _Builder:
    """Makes the nodes that stand for one private node, for the same layer."""

    def __init__(self, model: ir.Model, node: ir.Node) -> None:
        self.model, self.node, self.tape = model, node, Tape()

    def attribute(self, name: str) -> Any:
        return self.node.attributes[name].value

    def op(self, kind: str, *inputs: ir.Value | None, domain: str = "", **attributes: Any) -> Any:
        value = self.tape.op(kind, inputs, attributes, domain=domain)
        self.tape.nodes[-1].metadata_props.update(self.node.metadata_props)
        if domain:
            self.model.opset_imports[domain] = 1
        return value

    def reshaped(self, value: Any, *shape: int) -> Any:
        return self.op("Reshape", value, self.op("Constant", value_ints=list(shape)))

    def spread(self, per_group: Any) -> Any:
        return self.op("Unsqueeze", per_group, self.op("Constant", value_ints=[-1]))

    def table(self, name: str, numbers: list[Any] | tuple[float, ...]) -> ir.Value:
        """Return a constant that all layers share."""
        initializers = self.model.graph.initializers
        if name not in initializers:
            tensor = ir.tensor(np.array(numbers, np.float32), name=name)
            kind = ir.TensorType(ir.DataType.FLOAT)
            shape = ir.Shape(np.shape(numbers))
            value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
            self.model.graph.register_initializer(value)
        return initializers[name]


def _sizes(value: ir.Value) -> list[int]:
    """The last sizes of a shape, those that are not symbolic: all, for a weight."""
    assert value.shape is not None
    return [d for d in value.shape if isinstance(d, int)]


def _matmul_blocks(
    b: _Builder, x: ir.Value, codes: ir.Value, scales: ir.Value, zeros: ir.Value, *bias: ir.Value
) -> Any:
    """Codes, scales and zero points are constants: with computed ones, accuracy level 4 is wrong.

    Seen in ONNX Runtime 1.32 without graph optimization, so scales cannot be cast from float16.
    """
    bits, on = b.attribute("bits"), b.attribute("int8")
    given = [x, codes, scales, zeros, *([None, *bias] if bias else [])]
    return b.op(
        "MatMulNBits",
        *given,
        domain=_MICROSOFT,
        K=b.attribute("columns"),
        N=_sizes(codes)[0],
        bits=bits,
        block_size=_sizes(codes)[2] * 8 // bits,
        accuracy_level=ROUNDING["accuracy_level"][0 if on else 1],
    )


def _gather_blocks(
    b: _Builder, indices: ir.Value, codes: ir.Value, scales: ir.Value, zeros: ir.Value
) -> Any:
    rows, _, size = _sizes(codes)
    bits = b.attribute("bits")
    return b.op(
        "GatherBlockQuantized",
        *(b.reshaped(codes, rows, -1), indices, scales, zeros),
        domain=_MICROSOFT,
        bits=bits,
        block_size=size * 8 // bits,
        gather_axis=0,
        quantize_axis=1,
    )


def _decode_blocks(b: _Builder, codes: ir.Value, scales: ir.Value, zeros: ir.Value) -> Any:
    """Standard nodes: the engine runs them once, at load, which it does not do for its own."""
    rows, groups, size = _sizes(codes)
    bits = b.attribute("bits")
    steps = b.reshaped(_unpacked(b, codes, bits), rows, groups, size * 8 // bits)
    flat = b.reshaped(_unpacked(b, zeros, bits), rows, -1)
    ends = [b.op("Constant", value_ints=[n]) for n in (0, groups, 1)]  # start, end, axis
    zero = b.spread(b.op("Slice", flat, *ends))
    weights = b.op("Mul", b.op("Sub", steps, zero), b.spread(scales))
    return b.reshaped(weights, rows, -1)


def _unpacked(b: _Builder, packed: ir.Value, bits: int) -> Any:
    """Bytes (..., n) -> codes (..., n, 8 / bits) as floats."""
    table = [[byte >> at & (1 << bits) - 1 for at in range(0, 8, bits)] for byte in range(256)]
    return _indexed(b, b.table(f"smalti.int{bits}.values", table), packed)


def _matmul_nf4(b: _Builder, x: ir.Value, codes: ir.Value, scales: ir.Value) -> Any:
    rows, groups, size = _sizes(codes)
    flat = (b.reshaped(codes, -1), b.reshaped(scales, -1))
    shape = {"K": groups * size * 2, "N": rows, "block_size": size * 2, "quant_type": _NF4}
    return b.op("MatMulBnb4", x, *flat, domain=_MICROSOFT, **shape)


def _look_up_blocks(b: _Builder, codes: ir.Value, scales: ir.Value) -> Any:
    """No engine has these formats on a CPU: look up both weights of a byte, times the scale."""
    kind, unit = b.attribute("kind"), b.attribute("unit")
    assert codes.shape is not None
    groups, size = _sizes(codes)[-2:]
    lead = [0] * (len(codes.shape) - 2)
    pairs = _indexed(b, b.table(f"smalti.{kind}.values", byte_values(kind)), codes)
    weights = b.reshaped(pairs, *lead, groups, 2 * size)
    if kind in SCALES:
        scales = _indexed(b, b.table(f"smalti.{kind}.scales", SCALES[kind]), scales)
    if unit != 1.0:
        scales = b.op("Mul", scales, b.op("Constant", value_float=unit))
    return b.reshaped(b.op("Mul", weights, b.spread(scales)), *lead, groups * size * 2)


def _indexed(b: _Builder, table: ir.Value, bytes_: ir.Value) -> Any:
    return b.op("Gather", table, b.op("Cast", bytes_, to=int(ir.DataType.INT32)))


_LOWERINGS: dict[str, Callable[..., Any]] = {
    "MatMulBlocks": _matmul_blocks,
    "GatherBlocks": _gather_blocks,
    "DecodeBlocks": _decode_blocks,
    "MatMulNF4": _matmul_nf4,
    "LookUpBlocks": _look_up_blocks,
}
