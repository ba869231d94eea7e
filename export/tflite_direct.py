"""A Torch module as a TensorFlow Lite model without a converter: our operators and dense layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import fx, nn

from smalti.export.conventions import TFLITE_FUNCTIONS
from smalti.export.functions import ConversionError, Functions
from smalti.export.tflite_axes import WRITERS
from smalti.export.tflite_model import ABSENT, TFLiteModel
from smalti.export.tflite_names import layer_of
from smalti.export.translate import load_ops
from smalti.runtime.ops.torch_op import TorchOp

aten = torch.ops.aten
_ADD, _SUB = schema.AddOptionsT, schema.SubOptionsT
_MUL, _DIV = schema.MulOptionsT, schema.DivOptionsT
_CODE = schema.BuiltinOperator


def write(module: nn.Module, args: tuple[torch.Tensor, ...]) -> TFLiteModel:
    """Convert a module with the shapes of `args`.

    Raises:
        ConversionError: it has an operation that only the converter knows.
    """
    with Functions(module, TFLITE_FUNCTIONS):
        program = torch.export.export(module, args)
    return _Writer(program).model


class _Writer:
    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.model = TFLiteModel()
        self._tensors: dict[str, int] = {}
        self._ours = {op.overload: op for op in load_ops().values()}
        self._constants = _constants(program)
        graph = program.graph
        graph.eliminate_dead_code()
        given = set(program.graph_signature.user_inputs)
        self.model.graph.inputs = [
            self._tensor(n) for n in graph.nodes if n.op == "placeholder" and n.name in given
        ]
        for node in graph.nodes:
            if node.op == "call_function":
                self._write(node)
        outputs = program.graph_signature.user_outputs
        self.model.graph.outputs = [self._tensors[str(name)] for name in outputs]

    def _write(self, node: fx.Node) -> None:
        if self._is_constant(node):
            self._constants[node.name] = self._computed(node)
            return
        ours, other = self._ours.get(node.target), _WRITERS.get(node.target)
        if ours is None and other is None:
            raise ConversionError(
                f"{layer_of(node) or 'the model'} uses {node.target}, for which writing a .tflite "
                "file needs the converter; pip install 'smalti[tflite-export]'"
            )
        if other is not None:
            other(self, node)
        elif ours is not None:
            self._smalti(ours, node)

    def _is_constant(self, node: fx.Node) -> bool:
        """Whether floats alone go in that are known; integers stay codes, smaller than floats."""
        given = node.all_input_nodes
        floats = all(getattr(n.meta["val"], "dtype", None) == torch.float32 for n in given)
        known = all(n.name in self._constants for n in given)
        return bool(given) and floats and known and node.target not in self._ours

    def _computed(self, node: fx.Node) -> tuple[str, torch.Tensor]:
        values: Any = fx.map_arg((node.args, node.kwargs), lambda n: self._constants[n.name][1])
        target: Any = node.target
        return f"{layer_of(node) or 'model'}.{node.name}", target(*values[0], **values[1])

    def _smalti(self, op: TorchOp, node: fx.Node) -> None:
        count = len(op.inputs)
        inputs = [ABSENT if a is None else self.value(a) for a in node.args[:count]]
        values: Any = zip(op.attributes, node.args[count:], strict=True)
        attributes = {k: int(v) if isinstance(v, bool) else v for k, v in values}
        output = self._tensor(node, op.name)
        self._tensors[node.name] = self.model.smalti(op.name, inputs, output, attributes)

    def builtin(self, node: fx.Node, code: int, inputs: list[int], options: Any = None) -> None:
        """Write one of the engine's operators with the node's result as its output."""
        self.model.builtin(code, inputs, [self._tensor(node)], options)

    def value(self, node: Any) -> int:
        """Return the tensor of an argument; a constant is added where it is first used."""
        if not isinstance(node, fx.Node):
            return self.model.constant(f"number {node}", np.array(node, np.float32))
        if node.name not in self._tensors:
            name, array = self._constants[node.name]
            self._tensors[node.name] = self.model.constant(name, array.detach().numpy())
        return self._tensors[node.name]

    def _tensor(self, node: fx.Node, suffix: str = "") -> int:
        kind = node.meta["val"]
        name = f"{layer_of(node) or 'model'}.{suffix or node.name}"
        index = self.model.tensor(name, kind.shape, str(kind.dtype).removeprefix("torch."))
        self._tensors[node.name] = index
        return index

    def alias(self, node: fx.Node) -> None:
        """Let the node's result be its first argument."""
        self._tensors[node.name] = self.value(node.args[0])


def _constants(program: torch.export.ExportedProgram) -> dict[str, tuple[str, torch.Tensor]]:
    """Names and values of parameters and buffers, by the graph's names for them."""
    signature, state = program.graph_signature, program.state_dict | program.constants
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    return {node: (name, state[name]) for node, name in names.items()}


def _linear(writer: _Writer, node: fx.Node) -> None:
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = True
    inputs = [writer.value(a) for a in node.args if a is not None]
    absent = [ABSENT] * (3 - len(inputs))
    writer.builtin(node, _CODE.FULLY_CONNECTED, [*inputs, *absent], options)


def _plain(code: int) -> Callable[[_Writer, fx.Node], None]:
    return lambda writer, node: writer.builtin(node, code, [writer.value(node.args[0])])


def _gelu(writer: _Writer, node: fx.Node) -> None:
    options = schema.GeluOptionsT()
    options.approximate = node.kwargs.get("approximate") == "tanh"
    writer.builtin(node, _CODE.GELU, [writer.value(node.args[0])], options)


def _softmax(writer: _Writer, node: fx.Node) -> None:
    x: Any = node.args[0]
    if node.args[1] not in (-1, x.meta["val"].dim() - 1):
        raise ConversionError(f"softmax over axis {node.args[1]}; LiteRT has it for the last one")
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    writer.builtin(node, _CODE.SOFTMAX, [writer.value(x)], options)


def _arithmetic(code: int, options: Any) -> Callable[[_Writer, fx.Node], None]:
    def write_it(writer: _Writer, node: fx.Node) -> None:
        if node.kwargs:
            raise ConversionError(f"{node.target} with {node.kwargs}; write it as a product")
        writer.builtin(node, code, [writer.value(a) for a in node.args], options())

    return write_it


def _reshape(writer: _Writer, node: fx.Node) -> None:
    shape = torch.tensor(node.meta["val"].shape, dtype=torch.int32)
    sizes = writer.model.constant(f"{node.name}.shape", shape.numpy())
    writer.builtin(node, _CODE.RESHAPE, [writer.value(node.args[0]), sizes])


def _clamp(writer: _Writer, node: fx.Node) -> None:
    """Write both bounds, which have to be numbers."""
    x, low, high = node.args
    smallest = writer.model.tensor(f"{node.name}.above", node.meta["val"].shape, "float32")
    inputs = [writer.value(x), writer.value(low)]
    writer.model.builtin(_CODE.MAXIMUM, inputs, [smallest], schema.MaximumMinimumOptionsT())
    writer.builtin(
        node, _CODE.MINIMUM, [smallest, writer.value(high)], schema.MaximumMinimumOptionsT()
    )


def _cast(writer: _Writer, node: fx.Node) -> None:
    x: Any = node.args[0]
    if x.meta["val"].dtype == node.meta["val"].dtype:
        writer.alias(node)
    else:
        writer.builtin(node, _CODE.CAST, [writer.value(x)])


_WRITERS: dict[Any, Callable[[_Writer, fx.Node], None]] = {
    aten.linear.default: _linear,
    aten.relu.default: _plain(_CODE.RELU),
    aten.round.default: _plain(_CODE.ROUND),
    aten.clamp.default: _clamp,
    aten.sqrt.default: _plain(_CODE.SQRT),
    aten.square.default: _plain(_CODE.SQUARE),
    aten.tanh.default: _plain(_CODE.TANH),
    aten.sigmoid.default: _plain(_CODE.LOGISTIC),
    aten.gelu.default: _gelu,
    aten.softmax.int: _softmax,
    aten.add.Tensor: _arithmetic(_CODE.ADD, _ADD),
    aten.mul.Tensor: _arithmetic(_CODE.MUL, _MUL),
    aten.sub.Tensor: _arithmetic(_CODE.SUB, _SUB),
    aten.div.Tensor: _arithmetic(_CODE.DIV, _DIV),
    aten.reshape.default: _reshape,
    aten.view.default: _reshape,
    aten.unflatten.int: _reshape,
    aten.flatten.using_ints: _reshape,
    aten.dropout.default: _Writer.alias,
    aten.to.dtype: _cast,
    aten._assert_tensor_metadata.default: lambda writer, node: None,
    **WRITERS,
}
