"""Tables that lead out of their file, or into each other: an error, never more work than that."""

import contextlib
import struct
import time

import pytest
import tflite_files as files
from hypothesis import given, settings
from hypothesis import strategies as st

from smalti.runtime.artifact import open_artifact
from smalti.runtime.errors import FileError

SOUND = files.packed(files.dense())
MODEL = files.root(SOUND)
GRAPH = MODEL.Subgraphs(0)
FIRST = GRAPH.Tensors(0)
LAYER, OURS = GRAPH.Operators(0), GRAPH.Operators(1)
NAME = files.target(FIRST, 3)


@pytest.mark.parametrize(
    ("at", "form", "value", "words"),
    [
        (0, "I", 0, "offset at byte 0 is zero"),
        (0, "I", len(SOUND) - 2, "outside"),
        (0, "I", 2**32 - 1, "byte 4294967295 lies outside"),
        (0, "I", files.target(MODEL, 2) + 2, "aligned to 4"),
        (MODEL._tab.Pos, "i", 2**31 - 1, "byte -.* lies outside"),
        (MODEL._tab.Pos, "i", -(2**31), "outside"),
        (MODEL._tab.Pos, "i", MODEL._tab.Pos - files.vtable(MODEL) + 1, "not aligned to 2"),
        (files.vtable(MODEL), "H", 2, "the vtable .* of 2 bytes is malformed"),
        (files.vtable(MODEL), "H", 65534, "the vtable .* of 65534 bytes is malformed"),
        (files.vtable(MODEL) + 2, "H", 65535, "table of 65535 bytes"),
        (files.vtable(MODEL) + 2, "H", 6, "version: at|operator_codes: at"),
        (files.vtable(FIRST) + 4, "H", 3, r"tensors\[.\]\.shape: at 3 in a table"),
        (files.vtable(FIRST) + 4, "H", 60001, r"shape: at 60001 in a table"),
        (files.vtable(FIRST) + 4, "H", 5, r"shape: .*aligned"),
        (files.place(MODEL, 2), "I", 0, "subgraphs: the offset"),
        (files.place(MODEL, 2), "I", 2**31, "subgraphs: byte .* outside"),
        (files.target(MODEL, 2), "I", 2**31, "subgraphs: 2147483648 elements of 4 bytes"),
        (files.target(MODEL, 2) + 4, "I", 0, r"subgraphs\[0\]: the offset"),
        (files.target(FIRST, 0), "I", 2**31, r"tensors\[0\]\.shape: 2147483648 elements"),
        (files.target(FIRST, 0), "I", 2**32 - 1, r"shape: 4294967295 elements"),
        (NAME, "I", 0, r"tensors\[0\]\.name: the text .* does not end with a zero"),
        (NAME + 4, "B", 0xFF, r"name: the text at byte .* is not UTF-8"),
        (NAME, "I", 2**32 - 1, "name: 4294967295 elements"),
        (files.place(LAYER, 3), "B", 127, "builtin_options_type 127 is not known"),
        (files.place(LAYER, 3), "B", 5, r"builtin_options\.slot_2: at 7 in a table"),
        (files.place(LAYER, 4), "I", 2**30, r"operators\[0\]\.builtin_options: byte"),
        (files.target(OURS, 5), "I", 2**30, r"operators\[1\]\.custom_options: "),
        (files.target(MODEL.Buffers(1), 0), "I", 2**31, r"buffers\[1\]\.data: 2147483648"),
        (files.target(GRAPH.Tensors(1).Quantization(), 3), "I", 2**31, r"quantization\.zero_point"),
    ],
)
def test_tables_that_lead_out_of_the_file(opened, at, form, value, words):
    with pytest.raises(FileError, match=f"m\\.tflite: .*({words})"):
        opened(files.poked(SOUND, at, form, value))


@pytest.mark.parametrize("write", [files.packed, files.appended])
def test_truncated_files_are_refused(opened, write):
    data = write(files.dense())
    for part in range(64):
        with pytest.raises(FileError, match=r"m\.tflite"):
            opened(data[: len(data) * part // 64])


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_damage_never_gets_further_than_an_error(tmp_path_factory, changes):
    damaged = bytearray(SOUND)
    for at, value in changes:
        damaged[at] = value
    path = tmp_path_factory.getbasetemp() / "m.tflite"
    path.write_bytes(damaged)
    with contextlib.suppress(FileError):
        open_artifact(path)


def shared_tables(count):
    """A vector of many offsets to one vector of as many offsets to one table."""
    size = 4 * count
    subgraph, tensors = 48 + size, 72 + size
    content = struct.pack("<I4sHHHHHHHH", 24, b"TFL3", 10, 16, 4, 0, 8, 0, 0, 0)
    content += struct.pack("<iIII", 16, 3, 12, 0) + bytes(4)
    assert len(content) == 44
    content += struct.pack("<I", count)
    content += b"".join(struct.pack("<I", subgraph + 8 - (48 + 4 * i)) for i in range(count))
    assert len(content) == subgraph
    content += struct.pack("<HHHH", 6, 8, 4, 0) + struct.pack("<iI", 8, tensors - subgraph - 12)
    content += bytes(tensors - len(content)) + struct.pack("<I", count)
    end = tensors + 4 + size
    content += b"".join(struct.pack("<I", end + 4 - (tensors + 4 + 4 * i)) for i in range(count))
    return content + struct.pack("<HHi", 4, 4, 4)


def test_a_small_file_cannot_describe_a_huge_tree(opened):
    start = time.process_time()
    with pytest.raises(FileError, match=r"subgraphs\[.*more than 67108864 bytes of tables"):
        opened(shared_tables(5000))
    assert time.process_time() - start < 20
