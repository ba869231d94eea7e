"""Small `.tflite` files: a dense layer, an operator of ours, a signature and a manifest."""

import hashlib
import json
import struct

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers

OPS, TYPES = schema.BuiltinOperator, schema.TensorType


def made(kind, **fields):
    """An object of a table, with fields set."""
    item = kind()
    for name, value in fields.items():
        assert hasattr(item, name), name
        setattr(item, name, value)
    return item


def buffer(array):
    data = np.frombuffer(array if isinstance(array, bytes) else array.tobytes(), np.uint8)
    return made(schema.BufferT, data=data)


def tensor(name, *shape, kind=TYPES.FLOAT32, buffer=0, **fields):
    return made(schema.TensorT, name=name, shape=list(shape), type=kind, buffer=buffer, **fields)


def code(builtin, custom=None):
    fields = {"deprecatedBuiltinCode": min(builtin, 127), "builtinCode": builtin, "version": 1}
    return made(schema.OperatorCodeT, **fields, customCode=custom)


def operator(index, inputs, outputs, **fields):
    return made(schema.OperatorT, opcodeIndex=index, inputs=inputs, outputs=outputs, **fields)


def options(name, **fields):
    """Both fields of a union of options."""
    second = hasattr(schema.BuiltinOptions2, name)
    number = getattr(schema.BuiltinOptions2 if second else schema.BuiltinOptions, name)
    key = "builtinOptions2" if second else "builtinOptions"
    return {f"{key}Type": number, key: made(getattr(schema, f"{name}T"), **fields)}


def attributes(**values):
    return np.frombuffer(bytes(flexbuffers.Dumps(values)), np.uint8)


def graph(tensors, operators, inputs, outputs):
    fields = {"tensors": tensors, "operators": operators, "inputs": inputs, "outputs": outputs}
    return made(schema.SubGraphT, **fields, name="main")


def ends(**tensors):
    return [made(schema.TensorMapT, name=n, tensorIndex=i) for n, i in tensors.items()]


def model(codes, subgraph, *constants, manifest=None):
    """A model of one subgraph whose constants are buffers 1, 2, ..."""
    buffers = [schema.BufferT(), *map(buffer, constants)]
    metadata = []
    if manifest is not None:
        metadata = [made(schema.MetadataT, name="smalti", buffer=len(buffers))]
        buffers.append(buffer(json.dumps(manifest).encode()))
    signature = made(
        schema.SignatureDefT,
        signatureKey="serving_default",
        inputs=ends(**{f"args_{i}": index for i, index in enumerate(subgraph.inputs)}),
        outputs=ends(**{f"output_{i}": index for i, index in enumerate(subgraph.outputs)}),
    )
    return made(
        schema.ModelT,
        version=3,
        operatorCodes=codes,
        subgraphs=[subgraph],
        buffers=buffers,
        metadata=metadata,
        signatureDefs=[signature],
        description="made for tests",
    )


def dense():
    """x -> FULLY_CONNECTED -> smalti.HadamardTransform -> z."""
    weight = np.arange(32, dtype=np.float32).reshape(4, 8)
    scale = made(schema.QuantizationParametersT, scale=[1.0, 2.0, 3.0, 4.0], zeroPoint=[0] * 4)
    tensors = [
        tensor("x", 1, 8, shapeSignature=[-1, 8]),
        tensor("weight", 4, 8, buffer=1, quantization=scale),
        tensor("hidden", 1, 4),
        tensor("z", 1, 4),
    ]
    operators = [
        operator(0, [0, 1, -1], [2], **options("FullyConnectedOptions", keepNumDims=True)),
        operator(1, [2], [3], customOptions=attributes(block=4, seed=5, sizes=[1, 2, 3])),
    ]
    codes = [code(OPS.FULLY_CONNECTED), code(OPS.CUSTOM, "smalti.HadamardTransform")]
    manifest = {
        "manifest": 1,
        "smalti": "0.1.0",
        "min_library": "0.1.0",
        "min_engine": {"native": "ai-edge-litert 2.3"},
        "fallback": "none",
        "layers": [],
        "tensors": {"weight": hashlib.sha256(weight.tobytes()).hexdigest()},
    }
    return model(codes, graph(tensors, operators, [0], [3]), weight, manifest=manifest)


def packed(contents):
    builder = flatbuffers.Builder(1024)
    builder.Finish(contents.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def appended(contents):
    """The file with its constants behind the tables, each at a multiple of 64 bytes."""
    blobs = [bytes(b.data) if b.data is not None else b"" for b in contents.buffers]
    for item, blob in zip(contents.buffers, blobs, strict=True):
        if blob:  # a placeholder, so that the tables keep their size
            item.data, item.offset, item.size = None, 2, len(blob)
    tail, size = b"", len(packed(contents))
    for item, blob in zip(contents.buffers, blobs, strict=True):
        if blob:
            tail += bytes(-(size + len(tail)) % 64)
            item.offset = size + len(tail)
            tail += blob
    return packed(contents) + tail


def loaded(data):
    """The engine's own view of a file; operators that it does not know are let in."""
    return Interpreter(model_content=data)


def root(data):
    return schema.Model.GetRootAs(data)


def place(table, slot):
    """Where in the file a field of a table lies."""
    offset = table._tab.Offset(4 + 2 * slot)
    assert offset, f"slot {slot} is not set"
    return table._tab.Pos + offset


def target(table, slot):
    """Where what a field points to lies."""
    at = place(table, slot)
    return at + struct.unpack_from("<I", table._tab.Bytes, at)[0]


def vtable(table):
    return table._tab.Pos - struct.unpack_from("<i", table._tab.Bytes, table._tab.Pos)[0]


def poked(data, at, form, value):
    changed = bytearray(data)
    struct.pack_into("<" + form, changed, at, value)
    return bytes(changed)
