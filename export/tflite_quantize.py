"""Layers in LiteRT's own integer formats, by its own quantizer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_quantizer import qtyping, quantizer
from numpy.typing import NDArray

from smalti.export.tflite_model import TFLiteModel, text_of
from smalti.quant.plan import PlanError
from smalti.runtime.format import BlockFormat

_BLOCKS = {
    32: qtyping.QuantGranularity.BLOCKWISE_32,
    64: qtyping.QuantGranularity.BLOCKWISE_64,
    128: qtyping.QuantGranularity.BLOCKWISE_128,
}
_OPERATIONS = {  # by bits
    8: (
        qtyping.TFLOperationName.FULLY_CONNECTED,
        qtyping.TFLOperationName.CONV_2D,
        qtyping.TFLOperationName.DEPTHWISE_CONV_2D,
    ),
    4: (qtyping.TFLOperationName.FULLY_CONNECTED,),
}


_WEIGHTED = (
    schema.BuiltinOperator.FULLY_CONNECTED,
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
)


class Stored(NamedTuple):
    """What became of a layer's weight: its bytes with scales, and ||W' - W||^2 / ||W||^2."""

    bytes: int
    error: float


Called = tuple[str, Sequence[int]]  # a layer's name and the shape of its weight


def quantized(
    model: TFLiteModel, formats: Mapping[str, BlockFormat], called: Sequence[Called]
) -> tuple[TFLiteModel, dict[str, Stored]]:
    """Return the model with the named layers' weights in integers; activations round at run time.

    `int8` has a scale a row, whatever its group, since LiteRT has a fast kernel for nothing else.
    called: the module's layers with weights in float, in the order of their calls.

    Raises:
        PlanError: a layer that the model does not have as one of LiteRT's own.
    """
    outputs = _outputs(model, called)
    tool = quantizer.Quantizer(bytearray(model.to_bytes()))
    for layer, form in formats.items():
        for operation in _OPERATIONS[form.code_bits]:
            tool.add_dynamic_config(
                regex=f"^{re.escape(outputs[layer])};?$",
                operation_name=operation,
                num_bits=form.code_bits,
                granularity=_granularity(form),
            )
    found = TFLiteModel.read(bytes(tool.quantize().quantized_model))
    return found, {layer: _stored(layer, outputs[layer], model, found) for layer in formats}


def _outputs(model: TFLiteModel, called: Sequence[Called]) -> dict[str, str]:
    """Name what layers compute: their own outputs, or those of what was fused into them."""
    operators = [o for o in model.graph.operators if _is_weighted(o, model)]
    shapes = [sorted(map(int, _weight(o, model).shape)) for o in operators]
    if [sorted(shape) for _, shape in called] != shapes:
        raise PlanError(
            "the converter has changed the layers too much to tell them apart for LiteRT's "
            "quantizer; use vq formats"
        )
    return {
        name: text_of(model.graph.tensors[operator.outputs[0]].name)
        for (name, _), operator in zip(called, operators, strict=True)
    }


def _is_weighted(operator: Any, model: TFLiteModel) -> bool:
    code = model.root.operatorCodes[operator.opcodeIndex].builtinCode
    return code in _WEIGHTED and len(model.data(_weight(operator, model))) > 0


def _weight(operator: Any, model: TFLiteModel) -> Any:
    return model.graph.tensors[operator.inputs[1]]


def _granularity(form: BlockFormat) -> qtyping.QuantGranularity:
    return qtyping.QuantGranularity.CHANNELWISE if form.code_bits == 8 else _BLOCKS[form.group]


def _stored(layer: str, output: str, before: TFLiteModel, after: TFLiteModel) -> Stored:
    weight, found = (_weight(_producer(output, model), model) for model in (before, after))
    if found.quantization is None:
        raise PlanError(f"{layer}: LiteRT's quantizer leaves it in float; give it a vq format")
    data, scale_bytes = after.data(found), 4 * len(_scales(found))
    exact = before.data(weight).view(np.float32).reshape(weight.shape)
    values = _decoded(found, after)
    if found.quantization.details is not None:
        scale_bytes = len(after.data(after.graph.tensors[found.quantization.details.scales]))
    error = float(np.square(values - exact).sum() / np.square(exact).sum())
    return Stored(len(data) + scale_bytes, error)


def _producer(output: str, model: TFLiteModel) -> Any:
    tensors = model.graph.tensors
    return next(o for o in model.graph.operators if text_of(tensors[o.outputs[0]].name) == output)


def _scales(tensor: Any) -> NDArray[np.float32]:
    scales = tensor.quantization.scale
    return np.asarray([] if scales is None else scales, np.float32)


def _decoded(tensor: Any, model: TFLiteModel) -> NDArray[np.float32]:
    """Weights as the engine sees them, with a scale a row, or a block of columns in a row."""
    count = int(np.prod(tensor.shape))
    codes = model.data(tensor).view(np.int8)
    if len(codes) < count:  # two in a byte, the first in the low bits
        codes = np.stack([codes << 4 >> 4, codes >> 4], axis=-1).reshape(-1)[:count]
    rows = codes.reshape(len(codes) // tensor.shape[-1], -1).astype(np.float32)
    details = tensor.quantization.details
    if details is None:
        axis = tensor.quantization.quantizedDimension
        shape = [-1 if i == axis else 1 for i in range(len(tensor.shape))]
        return rows.reshape(tensor.shape) * _scales(tensor).reshape(shape)
    scales = model.data(model.graph.tensors[details.scales]).view(np.float16)
    blocks = rows.reshape(len(rows), -1, details.blockSize)
    return (blocks * scales.reshape(len(rows), -1, 1)).reshape(tensor.shape).astype(np.float32)
