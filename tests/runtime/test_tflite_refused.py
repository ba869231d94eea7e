"""Models that contradict themselves: what is changed in a sound one, and what the error says."""

import re

import numpy as np
import pytest
import tflite_files as files
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from tflite_files import made

from smalti.runtime.errors import FileError

GRAPH = "subgraphs.0"
X, WEIGHT = f"{GRAPH}.tensors.0", f"{GRAPH}.tensors.1"
QUANTIZATION = f"{WEIGHT}.quantization"
LAYER, OURS = f"{GRAPH}.operators.0", f"{GRAPH}.operators.1"
ATTRIBUTES = f"{OURS}.customOptions"
CODE = "operatorCodes.1"
SIGNATURE = "signatureDefs.0"
SPARSE = made(schema.SparsityParametersT, traversalOrder=[0, 1])
BLOCKWISE = made(schema.BlockwiseQuantizationT, scales=30, blockSize=4)
A_LIST = np.frombuffer(bytes(flexbuffers.Dumps([1, 2])), np.uint8)
CUT_OFF = files.attributes(block=4, seed=5, sizes=[1, 2, 3])[-20:]
LAYER_TWICE = [files.operator(0, [0, 1, -1], [2])] * 2
REVERSED = [files.operator(0, [2, 1, -1], [3]), files.operator(0, [0, 1, -1], [2])]


def away(offset, size):
    return {"buffers.1.data": None, "buffers.1.offset": offset, "buffers.1.size": size}


MODELS = {
    "newer schema": ({"version": 4}, "version 4 of the schema"),
    "no subgraph": ({"subgraphs": []}, "subgraphs: there is not even one"),
    "no buffers": ({"buffers": None}, "buffers: there is not even one"),
    "first buffer": ({"buffers.0": files.buffer(b"x")}, "buffer 0 has to be empty"),
    "foreign buffers": (
        {"externalBufferGroups": [schema.ExternalBufferGroupT()]},
        "external_buffer_groups: external buffers",
    ),
    "size, no offset": ({"buffers.1.size": 12}, "offset 0, size 12"),
    "bytes twice": (
        {"buffers.1.offset": 64, "buffers.1.size": 4},
        "offset 64, size 4 and 128 bytes inline",
    ),
    "bytes outside": (away(10**9, 128), r"buffers[1]: 128 bytes at byte 1000000000 reach beyond"),
    "bytes overflow": (away(2**64 - 1, 128), "at byte 18446744073709551615 reach beyond"),
    "nameless operator": ({f"{CODE}.customCode": None}, "a custom operator without a name"),
    "negative operator": (
        {f"{CODE}.deprecatedBuiltinCode": -1, f"{CODE}.builtinCode": -1},
        "operator_codes[1]: operator -1 does not exist",
    ),
}
FLOW = {
    "operator code": ({f"{LAYER}.opcodeIndex": 9}, "operators[0].opcode_index: 9 of 2"),
    "input": ({f"{LAYER}.inputs": [0, 50]}, "operators[0] (builtin 9).inputs: tensor 50 of 4"),
    "negative input": ({f"{LAYER}.inputs": [0, -2]}, "inputs: tensor -2 of 4"),
    "absent output": ({f"{LAYER}.outputs": [-1]}, "outputs: tensor -1 of 4"),
    "output": ({f"{LAYER}.outputs": [4]}, "outputs: tensor 4 of 4"),
    "intermediate": ({f"{LAYER}.intermediates": [99]}, "intermediates: tensor 99 of 4"),
    "graph input": ({f"{GRAPH}.inputs": [8]}, "subgraphs[0].inputs: tensor 8 of 4"),
    "graph output": ({f"{GRAPH}.outputs": [-1]}, "subgraphs[0].outputs: tensor -1 of 4"),
    "constant as input": (
        {f"{GRAPH}.inputs": [0, 1]},
        "subgraphs[0].inputs: tensor 1 (weight) has a value already",
    ),
    "nothing gives it": (
        {f"{GRAPH}.operators": []},
        "subgraphs[0].outputs: tensor 3 (z) has no value yet",
    ),
    "wrong order": (
        {f"{GRAPH}.operators": REVERSED},
        "operators[0] (builtin 9).inputs: tensor 2 (hidden) has no value yet",
    ),
    "produced twice": (
        {f"{GRAPH}.operators": LAYER_TWICE},
        "operators[1] (builtin 9).outputs: tensor 2 (hidden) has a value already",
    ),
    "constant written": ({f"{LAYER}.outputs": [1]}, "tensor 1 (weight) has a value already"),
    "input written": ({f"{LAYER}.outputs": [0]}, "tensor 0 (x) has a value already"),
}
TENSORS = {
    "buffer": ({f"{WEIGHT}.buffer": 77}, "tensors[1] (weight): buffer 77 of 3"),
    "shape": (
        {f"{WEIGHT}.shape": [4, 9]},
        "tensors[1] (weight): 128 bytes for 4 x 9 elements of 32 bits",
    ),
    "type": ({f"{X}.type": 23}, "tensors[0] (x): type 23 is not known"),
    "negative type": ({f"{X}.type": -1}, "type -1 is not known"),
    "rank": ({f"{X}.shape": [1] * 9}, "shape: rank 9; the limit is 8"),
    "dimension": ({f"{X}.shape": [1, -8]}, "shape: a dimension of -8"),
    "open dimension": ({f"{X}.shapeSignature": [-2, 8]}, "shape_signature: a dimension of -2"),
    "other rank": ({f"{X}.shapeSignature": [-1]}, "shape_signature of 1 dimensions, 2 exist"),
    "elements": ({f"{X}.shape": [1 << 30, 1 << 30]}, "shape: 1152921504606846976 elements"),
    "long name": ({f"{X}.name": "x" * 65537}, "tensors[0].name: a text of 65537 bytes"),
    "variable": ({f"{WEIGHT}.isVariable": True}, "(weight): a variable with a constant's bytes"),
    "sparse": ({f"{WEIGHT}.sparsity": SPARSE}, "sparse tensors are not supported"),
    "foreign bytes": ({f"{WEIGHT}.externalBuffer": 1}, "external buffers are not supported"),
    "few scales": ({f"{QUANTIZATION}.scale": [1.0] * 3}, "3 scales and 4 zero points"),
    "axis": ({f"{QUANTIZATION}.quantizedDimension": 1}, "4 scales for dimension 1"),
    "no axis": ({f"{QUANTIZATION}.quantizedDimension": -1}, "4 scales for dimension -1"),
    "scales elsewhere": (
        {f"{QUANTIZATION}.detailsType": 2, f"{QUANTIZATION}.details": BLOCKWISE},
        "quantization.details.scales: tensor 30 of 4",
    ),
    "no details": ({f"{QUANTIZATION}.detailsType": 2}, "quantization: its details are missing"),
}
ATTRIBUTE = {
    "missing": ({ATTRIBUTES: None}, "(smalti.HadamardTransform).custom_options: 0 bytes are no"),
    "no map": ({ATTRIBUTES: A_LIST}, "custom_options: the root is of type"),
    "a text": ({ATTRIBUTES: files.attributes(block="four")}, "custom_options: type 5"),
    "cut off": ({ATTRIBUTES: CUT_OFF}, "custom_options: byte"),
    "appended": ({f"{OURS}.largeCustomOptionsOffset": 64}, "large_custom_options: 0 bytes at"),
    "another's": (
        {f"{CODE}.customCode": "a.B", f"{OURS}.largeCustomOptionsOffset": 1 << 40},
        "operators[1] (a.B).large_custom_options: 0 bytes at byte 1099511627776",
    ),
}
ENDS = {
    "metadata": ({"metadata.0.buffer": 40}, "metadata[0]: buffer 40 of 3"),
    "nameless metadata": ({"metadata.0.name": None}, "metadata[0]: it has no name"),
    "no text": ({"buffers.2": files.buffer(b"\xff\xfe")}, "manifest: 'utf-8' codec"),
    "no json": ({"buffers.2": files.buffer(b"'a': 1}")}, "manifest: Expecting value"),
    "a list": ({"buffers.2": files.buffer(b"[1]")}, "manifest is no table"),
    "bottomless": ({"buffers.2": files.buffer(b"[" * 10**5)}, "nested too deeply"),
    "newer": ({"buffers.2": files.buffer(b'{"manifest": 2}')}, "manifest version 2"),
    "keyless signature": ({f"{SIGNATURE}.signatureKey": None}, "signature_defs[0]: it has no key"),
    "no subgraph": ({f"{SIGNATURE}.subgraphIndex": 3}, "signature_defs[0]: subgraph 3 of 1"),
    "writes a constant": (
        {f"{SIGNATURE}.inputs.0.tensorIndex": 1},
        "signature_defs[0].inputs[0]: tensor 1 is not one",
    ),
    "no such output": ({f"{SIGNATURE}.outputs.0.tensorIndex": 99}, "outputs[0]: tensor 99 is not"),
    "nameless input": ({f"{SIGNATURE}.inputs.0.name": None}, "inputs[0]: it has no name"),
}


def assign(item, path, value):
    *way, last = path.split(".")
    for step in way:
        item = item[int(step)] if step.isdigit() else getattr(item, step)
    if last.isdigit():
        item[int(last)] = value
    else:
        assert hasattr(item, last), path
        setattr(item, last, value)


def check(opened, changes, words):
    contents = files.dense()
    for path, value in changes.items():
        assign(contents, path, value)
    with pytest.raises(FileError, match=f"m\\.tflite: .*{re.escape(words)}"):
        opened(files.packed(contents))


@pytest.mark.parametrize("name", MODELS)
def test_models(opened, name):
    check(opened, *MODELS[name])


@pytest.mark.parametrize("name", FLOW)
def test_operators_and_what_flows_between_them(opened, name):
    check(opened, *FLOW[name])


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(opened, name):
    check(opened, *TENSORS[name])


@pytest.mark.parametrize("name", ATTRIBUTE)
def test_attributes_of_our_operators(opened, name):
    check(opened, *ATTRIBUTE[name])


@pytest.mark.parametrize("name", ENDS)
def test_metadata_and_signatures(opened, name):
    check(opened, *ENDS[name])
