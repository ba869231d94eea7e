"""A Torch module as a TensorFlow Lite model, by litert-torch, with our operators kept whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import litert_torch
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from litert_converter.mlir import ir
from litert_converter.mlir.dialects import stablehlo
from litert_torch.backend.experimental import torch_tfl  # noqa: F401 - LiteRT's operators in Torch
from litert_torch.backend.lowerings import lower
from torch import Tensor, nn

from smalti.export.conventions import TFLITE_FUNCTIONS
from smalti.export.functions import Functions
from smalti.export.tflite_model import ABSENT, TFLiteModel, text_of
from smalti.export.tflite_names import layer_of, name_tensors, put_in_order
from smalti.export.translate import load_ops
from smalti.runtime import native
from smalti.runtime.ops.torch_op import DOMAIN, TorchOp

_CALL = "custom_call."  # in front of the name of an operator that the converter is to keep
_LAYER = "layer"


def convert(module: nn.Module, args: tuple[Any, ...]) -> TFLiteModel:
    """Convert a module with the shapes of `args`.

    Constants, outputs and inputs of our operators are named `<layer>.<port>` and so on.
    """
    for op in load_ops().values():
        lower(op.overload)(_lowering(op))
    with _signless(module) as unsigned, Functions(module, _FUNCTIONS):
        content = litert_torch.convert(module, args).model_content()
    model = TFLiteModel.read(content)
    put_in_order(model)
    name_tensors(model, module)
    _restore(model, unsigned)
    _keep_input_types(model, args)
    _number_repeated(model)
    return model


def _topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """Call LiteRT's own; the converter would write a sort, which LiteRT does not have."""
    x = input.movedim(dim, -1)
    values, indices = torch.ops.tfl.topk_v2(x if largest else -x, k)
    values = values if largest else -values
    return torch.return_types.topk((values.movedim(-1, dim), indices.long().movedim(-1, dim)))


_FUNCTIONS = {**TFLITE_FUNCTIONS, torch.topk: _topk, Tensor.topk: _topk}


def _lowering(op: TorchOp) -> Any:
    """How an operator enters the converter's graph: as a call with its attributes in JSON."""
    count = len(op.inputs)

    def lowered(context: Any, *args: Any) -> Any:
        attributes = {k: _plain(v) for k, v in zip(op.attributes, args[count:], strict=True)}
        attributes[_LAYER] = layer_of(context.node)
        shape = list(context.node.meta["val"].shape)
        return stablehlo.CustomCallOp(
            result=[ir.RankedTensorType.get(shape, _type(op.dtype))],
            inputs=[value for value in args[:count] if value is not None],
            call_target_name=f"{_CALL}{DOMAIN}.{op.name}",
            backend_config=ir.StringAttr.get(json.dumps(attributes)),
            api_version=ir.IntegerAttr.get(ir.IntegerType.get_signless(32), 1),
        ).result

    return lowered


def _type(dtype: torch.dtype) -> Any:
    return ir.IntegerType.get_signless(8) if dtype == torch.int8 else ir.F32Type.get()


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return list(value) if isinstance(value, list | tuple) else value


@contextmanager
def _signless(module: nn.Module) -> Iterator[set[bytes]]:
    """Let unsigned bytes pass for signed ones, as the converter knows no others; yield them."""
    kept = [
        (part, name, buffer)
        for part in module.modules()
        for name, buffer in part.named_buffers(recurse=False)
        if buffer.dtype == torch.uint8
    ]
    for part, name, buffer in kept:
        setattr(part, name, buffer.view(torch.int8))
    try:
        yield {buffer.numpy().tobytes() for _, _, buffer in kept}
    finally:
        for part, name, buffer in kept:
            setattr(part, name, buffer)


def _restore(model: TFLiteModel, unsigned: set[bytes]) -> None:
    """Turn the converter's calls into our operators; `unsigned`: contents of unsigned constants."""
    operators, model.graph.operators = model.graph.operators, []
    renamed: dict[int, int] = {}
    for operator in operators:
        operator.inputs = [renamed.get(int(i), int(i)) for i in operator.inputs]
        name = _called(model, operator)
        if name is None:
            model.graph.operators.append(operator)
        else:
            renamed[int(operator.outputs[0])] = _add(model, name, operator, unsigned)
    model.graph.outputs = [renamed.get(int(i), int(i)) for i in model.graph.outputs]
    model.drop_unused_codes()


def _called(model: TFLiteModel, operator: Any) -> str | None:
    """Which of our operators a call means."""
    code = model.root.operatorCodes[operator.opcodeIndex].customCode or b""
    prefix = f"{_CALL}{DOMAIN}."
    return code.decode().removeprefix(prefix) if code.startswith(prefix.encode()) else None


def _add(model: TFLiteModel, name: str, operator: Any, unsigned: set[bytes]) -> int:
    """Add our operator in place of its call; tensors are named by their layer and port."""
    op, tensors = load_ops()[name], model.graph.tensors
    config = json.loads(bytes(operator.customOptions))
    layer, output = config.pop(_LAYER) or "model", int(operator.outputs[0])
    tensors[output].name = f"{layer}.{name}"
    kinds = native.signature(name).inputs.values()
    for port, kind, index in zip(op.inputs, kinds, operator.inputs, strict=False):
        data = model.data(tensors[index])
        if len(data):
            tensors[index].name = f"{layer}.{port}"
        if "u8" in kind.rstrip("?").split("|") and data.tobytes() in unsigned:
            tensors[index].type = schema.TensorType.UINT8
    inputs = [
        _widened(model, index) if kind == "i64" else index
        for index, kind in zip(operator.inputs, kinds, strict=False)
    ]
    absent = [ABSENT] * (len(op.inputs) - len(inputs))
    return model.smalti(name, [*inputs, *absent], output, config)


def _widened(model: TFLiteModel, index: int) -> int:
    """Return the tensor as int64; the converter narrows all integers to int32."""
    narrow = model.graph.tensors[index]
    name, data = f"{text_of(narrow.name)}.int64", model.data(narrow)
    if len(data):
        values = data.view(np.int32).reshape(narrow.shape)
        return model.constant(name, values.astype(np.int64))
    wide = model.tensor(name, narrow.shape, "int64")
    model.builtin(schema.BuiltinOperator.CAST, [index], [wide])
    return wide


def _keep_input_types(model: TFLiteModel, args: tuple[torch.Tensor, ...]) -> None:
    """Take int64 where the module does, so that both kinds of files have the same inputs."""
    operators, model.graph.operators = model.graph.operators, []
    inputs = [int(i) for i in model.graph.inputs]
    for i, (index, arg) in enumerate(zip(inputs, args, strict=True)):
        narrow = model.graph.tensors[index]
        if arg.dtype == torch.int64 and narrow.type == schema.TensorType.INT32:
            inputs[i] = model.tensor(text_of(narrow.name), narrow.shape, "int64")
            narrow.name = f"{text_of(narrow.name)}.int32"
            model.builtin(schema.BuiltinOperator.CAST, [inputs[i]], [index])
    model.graph.inputs = inputs
    model.graph.operators += operators


def _number_repeated(model: TFLiteModel) -> None:
    """Number names that a layer has given more than once, as it was called more than once."""
    seen = set[str]()
    for index, tensor in enumerate(model.graph.tensors):
        name = text_of(tensor.name)
        tensor.name = f"{name}.{index}" if name in seen else name
        seen.add(name)
