"""Layers in LiteRT's own integer formats, by its own quantizer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ai_edge_quantizer import qtyping, quantizer

from smalti.export.tflite_model import TFLiteModel
from smalti.runtime.format import BlockFormat

_BLOCKS = {
    32: qtyping.QuantGranularity.BLOCKWISE_32,
    64: qtyping.QuantGranularity.BLOCKWISE_64,
    128: qtyping.QuantGranularity.BLOCKWISE_128,
}
_OPERATIONS = (
    qtyping.TFLOperationName.FULLY_CONNECTED,
    qtyping.TFLOperationName.CONV_2D,
    qtyping.TFLOperationName.EMBEDDING_LOOKUP,
)


def quantized(model: TFLiteModel, formats: Mapping[str, BlockFormat]) -> TFLiteModel:
    """Return the model with the named layers' weights in integers; activations round at run time.

    `int8` has a scale a row, whatever its group, since LiteRT has a fast kernel for nothing else.
    """
    tool = quantizer.Quantizer(bytearray(model.to_bytes()))
    for layer, form in formats.items():
        for operation in _OPERATIONS:
            tool.add_dynamic_config(
                regex=rf"(^|;){re.escape(layer)}\.",
                operation_name=operation,
                num_bits=form.code_bits,
                granularity=_granularity(form),
            )
    return TFLiteModel.read(bytes(tool.quantize().quantized_model))


def _granularity(form: BlockFormat) -> qtyping.QuantGranularity:
    return qtyping.QuantGranularity.CHANNELWISE if form.code_bits == 8 else _BLOCKS[form.group]
