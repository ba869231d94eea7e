"""smalti's Torch operators as ONNX nodes, for Torch's exporter."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable
from typing import Any

import torch
from onnx.defs import OpSchema
from onnxscript import values

import smalti.runtime.ops
from smalti.export.engine_nodes import ENGINE_DOMAIN, lower
from smalti.export.fold.knots import KnotMatrices
from smalti.quant.engine_ops import ENGINE_OPS
from smalti.runtime.ops.torch_op import DOMAIN, OPS, TorchOp

OPSET = 21
DOMAIN_VERSION = 1
_TYPES = [f"tensor({t})" for t in ("float", "float16", "uint8", "int8", "int64")]
_ONNX_TYPES = {torch.float32: "tensor(float)", torch.int8: "tensor(int8)"}
_KINDS = {
    bool: OpSchema.AttrType.INT,
    int: OpSchema.AttrType.INT,
    float: OpSchema.AttrType.FLOAT,
    str: OpSchema.AttrType.STRING,
}


def load_ops() -> dict[str, TorchOp]:
    """Import every operator's `op.py` and return all of them by ONNX name."""
    for found in pkgutil.iter_modules(smalti.runtime.ops.__path__):
        if found.ispkg:
            importlib.import_module(f"smalti.runtime.ops.{found.name}.op")
    return OPS


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return what `torch.onnx.export` takes as `custom_translation_table`."""
    table = {op.overload: _translator(op, DOMAIN) for op in load_ops().values()}
    return table | {op.overload: _translator(op, ENGINE_DOMAIN) for op in ENGINE_OPS.values()}


def _translator(op: TorchOp, domain: str) -> Callable[..., Any]:
    node = values.Op(values.Opset(domain, DOMAIN_VERSION), op.name, _schema(op, domain))
    count = len(op.inputs)

    def translate(*args: Any) -> Any:
        inputs = list(args[:count])
        while inputs[-1] is None:  # older engines crash on an empty name for an absent input
            inputs.pop()
        attributes = dict(zip(op.attributes, args[count:], strict=True))
        return node(*inputs, **{k: _onnx_value(v) for k, v in attributes.items()})

    return translate


def _onnx_value(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return list(value) if isinstance(value, list | tuple) else value


def _schema(op: TorchOp, domain: str) -> OpSchema:
    option = OpSchema.FormalParameterOption
    inputs = [
        OpSchema.FormalParameter(
            name,
            f"T{i}",
            param_option=option.Optional if name in op.optional_inputs else option.Single,
        )
        for i, name in enumerate(op.inputs)
    ]
    return OpSchema(
        op.name,
        domain,
        DOMAIN_VERSION,
        inputs=inputs,
        outputs=[OpSchema.FormalParameter("y", _ONNX_TYPES[op.dtype])],
        type_constraints=[(f"T{i}", _TYPES, "") for i in range(len(inputs))],
        attributes=[
            OpSchema.Attribute(name, _KINDS.get(kind, OpSchema.AttrType.INTS))
            for name, kind in op.attributes.items()
        ],
    )


def trace(module: torch.nn.Module, args: tuple[Any, ...], **options: Any) -> torch.onnx.ONNXProgram:
    """Run Torch's exporter with smalti's operators and opset."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision every time
    with KnotMatrices():
        program = torch.onnx.export(
            module,
            args,
            dynamo=True,
            opset_version=OPSET,
            custom_translation_table=translation_table(),
            verbose=False,
            **options,
        )
    assert program is not None
    lower(program.model)
    return program
