"""Files of LiteRT: what they hold, and that malformed ones are refused before the engine."""

import contextlib
import struct

import numpy as np
import pytest
import tflite_files as files
from tflite_files import OPS, TYPES

from smalti.runtime.errors import FileError


@pytest.mark.parametrize("write", [files.packed, files.appended])
def test_what_a_file_holds(opened, write):
    data = write(files.dense())
    artifact = opened(data)
    assert artifact.engine == "tflite"
    assert artifact.manifest["smalti"] == "0.1.0"
    assert artifact.native_nodes == 1
    assert artifact.bytes == len(data)
    assert list(artifact.tensors) == ["weight"]
    assert np.frombuffer(artifact.tensors["weight"].data, np.float32).tolist() == list(range(32))
    assert artifact.damaged() == []
    assert files.loaded(data).get_signature_list()["serving_default"]["inputs"] == ["args_0"]


def test_a_flipped_bit_of_a_weight_is_found(opened):
    data = files.packed(files.dense())
    at = data.index(np.float32(17).tobytes())
    assert opened(files.poked(data, at, "B", 1)).damaged() == ["weight"]


def test_a_file_without_a_manifest(opened):
    contents = files.dense()
    contents.metadata = None
    contents.description = None
    assert opened(files.packed(contents)).manifest == {}


def test_names_that_repeat_get_a_number(opened):
    contents = files.dense()
    again = [files.tensor(name, 4, 8, buffer=1) for name in ("weight", "", None)]
    contents.subgraphs[0].tensors += again
    assert list(opened(files.packed(contents)).tensors) == ["weight", "weight#4", "#5", "#6"]


@pytest.mark.parametrize(
    ("kind", "elements", "size"),
    [
        (TYPES.FLOAT32, 3, 12),
        (TYPES.FLOAT16, 3, 6),
        (TYPES.BFLOAT16, 3, 6),
        (TYPES.INT64, 3, 24),
        (TYPES.COMPLEX64, 3, 24),
        (TYPES.BOOL, 3, 3),
        (TYPES.INT4, 5, 3),
        (TYPES.UINT4, 4, 2),
        (TYPES.INT2, 5, 2),
    ],
)
def test_constants_are_of_the_size_that_their_type_needs(opened, kind, elements, size):
    for extra in (-1, 0, 1):
        contents = files.dense()
        contents.subgraphs[0].tensors.append(files.tensor("c", elements, kind=kind, buffer=1))
        contents.subgraphs[0].tensors[1].buffer = 0
        contents.subgraphs[0].inputs = [0, 1]
        contents.buffers[1] = files.buffer(bytes(size + extra))
        expected = (
            contextlib.nullcontext() if extra == 0 else pytest.raises(FileError, match="\\(c\\)")
        )
        with expected:
            opened(files.packed(contents))


def strings(*offsets, tail=b"abc"):
    return struct.pack(f"<{len(offsets)}i", *offsets) + tail


def with_strings(content, *shape):
    contents = files.dense()
    contents.subgraphs[0].tensors.append(files.tensor("s", *shape, kind=TYPES.STRING, buffer=1))
    contents.subgraphs[0].tensors[1].buffer = 0
    contents.subgraphs[0].inputs = [0, 1]
    contents.buffers[1] = files.buffer(content)
    return contents


def test_constants_of_texts(opened):
    data = files.packed(with_strings(strings(2, 16, 17, 19), 2))
    opened(data)
    files.loaded(data)


def calling(*callees):
    """Subgraph 0 calls the one, which calls the next, ..."""
    contents = files.dense()
    first = contents.subgraphs[0]
    contents.subgraphs = []
    contents.operatorCodes.append(files.code(OPS.CALL_ONCE))
    for callee in callees:
        operators = [] if contents.subgraphs else list(first.operators)
        call = files.options("CallOnceOptions", initSubgraphIndex=callee)
        operators += [] if callee is None else [files.operator(2, [], [], **call)]
        contents.subgraphs.append(
            files.graph(
                first.tensors,
                operators,
                first.inputs,
                first.outputs if not contents.subgraphs else [],
            )
        )
    return contents


def test_subgraphs_that_call_one_another(opened):
    data = files.packed(calling(2, None, 1))
    artifact = opened(data)
    files.loaded(data)
    assert list(artifact.tensors) == ["weight", "weight#5", "weight#9"]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (calling(0), r"subgraphs: they call each other: \[0, 0\]"),
        (calling(1, 2, 1), "they call each other"),
        (calling(7), r"subgraphs\[0\]: calls subgraph 7 of 1"),
        (calling(-1), "calls subgraph -1 of 1"),
        (with_strings(strings(2, 16, 17, 19), 3), "19 bytes for 2 texts in 3 elements"),
        (with_strings(strings(2, 16, 15, 19), 2), "a text at byte 15 of 19"),
        (with_strings(strings(2, 16, 17, 99), 2), "a text at byte 99 of 19"),
        (with_strings(b"ab", 2), "texts in 2 elements"),
    ],
)
def test_calls_and_texts(opened, contents, words):
    with pytest.raises(FileError, match=words):
        opened(files.packed(contents))
