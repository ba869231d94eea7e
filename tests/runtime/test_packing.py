import hashlib
from math import ceil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smalti.runtime.format import Format
from smalti.runtime.ops.case import FORMATS, random_packed
from smalti.runtime.ops.dequantize import dequantize
from smalti.runtime.packing import Header, PackedError, pack_codes, pack_scales

HEADER = Header(Format.parse("vq-2x64-g128"), 20, 300, 12, 2**40 + 5)
FORMS = pytest.mark.parametrize("form", FORMATS, ids=str)


def stored_code(body: np.ndarray, header: Header, row: int, vector: int) -> int:
    """One code, from the layout as docs/formats.md describes it."""
    f = header.format
    padded = ceil(header.columns / 32) * 32
    tile = body.reshape(-1, 16 * padded // f.p * f.code_bits // 8)[row // 16]
    register, lane = vector // 4, row % 16 * 4 + vector % 4
    planes = tile.reshape(-1, 64)
    if f.code_bits == 8:
        return int(planes[register, lane])
    if f.code_bits == 4:
        return int(planes[register // 2, lane]) >> 4 * (register % 2) & 15
    three = planes[register // 4 * 3 :][:3, lane]
    if register % 4 < 3:
        return int(three[register % 4]) & 63
    return sum((int(plane) >> 6) << 2 * i for i, plane in enumerate(three))


@given(st.sampled_from(FORMATS), st.integers(1, 40), st.integers(1, 300), st.integers(0, 2**32))
@settings(max_examples=60)
def test_numbers_come_back(form: Format, rows: int, columns: int, numbers: int) -> None:
    rng, header = np.random.default_rng(numbers), Header(form, rows, columns, 1, 0)
    vectors, groups = ceil(columns / form.p), form.groups(columns)
    codes = rng.integers(0, form.n, (rows, vectors)).astype(np.uint8)
    scales = rng.uniform(0.5, 2, (rows, groups)).astype(np.float16)
    grid = random_packed(rng, header)["grid"]
    body = pack_codes(codes, header)[64:]
    row, vector = int(rng.integers(rows)), int(rng.integers(vectors))
    assert stored_code(body, header, row, vector) == codes[row, vector]
    packed = (pack_codes(codes, header), pack_scales(scales, header), grid)
    found = dequantize(*map(torch.from_numpy, packed), rows, columns).numpy()
    width = form.group or columns
    spread = np.repeat(scales.astype(np.float32), width, axis=1)[:, :columns]
    assert np.array_equal(found, grid[codes].reshape(rows, -1)[:, :columns] * spread)


@FORMS
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (16, 32), (17, 33), (40, 300)])
def test_bytes_are_as_many_as_the_format_says(form: Format, rows: int, columns: int) -> None:
    packed = random_packed(np.random.default_rng(0), Header(form, rows, columns, 1, 0))
    size = packed["codes"].nbytes + packed["scales"].nbytes
    assert size == form.packed_bytes(rows, columns)


LAYOUT = {
    "vq-1x16": "0b43001d713b36bf",
    "vq-2x16": "f04ca9851094176a",
    "vq-2x64": "782473858717ca3b",
    "vq-2x256": "0638e4e7e6cd5210",
    "vq-4x256": "e14c655fb637a5d2",
}


@pytest.mark.parametrize("name", LAYOUT)
def test_layout_1_never_changes(name: str) -> None:
    form = Format.parse(name)
    header, vectors = Header(form, 20, 200, 8, 1), 200 // form.p
    numbers = np.arange(20 * vectors).reshape(20, vectors) * 2654435761 >> 13
    packed = pack_codes((numbers % form.n).astype(np.uint8), header)
    scales = pack_scales(np.arange(40).reshape(20, 2).astype(np.float16), header)
    digest = hashlib.sha256(packed.tobytes() + scales.tobytes()).hexdigest()
    assert digest[:16] == LAYOUT[name]


def test_header_reads_back() -> None:
    data = HEADER.to_bytes()
    assert len(data) == 64
    assert Header.read(data) == HEADER
    assert Header.read(memoryview(data + b"more")) == HEADER
    row = Header(Format.parse("vq-1x16-row"), 1, 1, 1, 0)
    assert Header.read(row.to_bytes()) == row


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, b"ELF!", "no packed weights"),
        (4, b"\x02\x00", "layout version 2, this smalti reads 1; update it"),
        (6, b"\x03", "no grid of 64 entries of 3 values"),
        (7, b"\x05", "no grid of 32 entries"),
        (16, b"\x07", "no scale group of 7"),
    ],
)
def test_damaged_headers(at: int, value: bytes, message: str) -> None:
    data = bytearray(HEADER.to_bytes())
    data[at : at + len(value)] = value
    with pytest.raises(PackedError, match=message):
        Header.read(bytes(data))


@pytest.mark.parametrize("size", [0, 1, 63])
def test_short_headers(size: int) -> None:
    with pytest.raises(PackedError, match=f"{size} bytes are too few"):
        Header.read(HEADER.to_bytes()[:size])
