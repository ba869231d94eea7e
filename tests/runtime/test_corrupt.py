"""Files that are not what they say: an error that names the culprit, never a crash."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smalti.runtime import native
from smalti.runtime.format import Format
from smalti.runtime.native import NativeError
from smalti.runtime.ops.case import Case, normal, random_packed
from smalti.runtime.packing import Header

ROWS, COLUMNS, BLOCK, SEED = 20, 300, 12, 5
FORM = Format.parse("vq-2x64-g128")
FIELDS = {  # offset and struct letter of each field of the header
    "version": (4, "H"),
    "p": (6, "B"),
    "bits": (7, "B"),
    "rows": (8, "I"),
    "columns": (12, "I"),
    "group": (16, "I"),
    "block": (20, "I"),
    "seed": (24, "Q"),
}


def good(op: str, form: Format = FORM) -> Case:
    rng = np.random.default_rng(6)
    packed = random_packed(rng, Header(form, ROWS, COLUMNS, BLOCK, SEED))
    rotation = {"step": 0.01, "block": BLOCK, "seed": SEED}
    if op == "VQGather":
        indices = np.arange(5)
        return Case(op, {"indices": indices, **packed}, {"columns": COLUMNS, **rotation})
    if op == "VQMatMul":
        x = normal(rng, 3, COLUMNS)
        return Case(op, {"x": x, **packed}, {"out_features": ROWS, "step": 0.01, "int8": 1})
    x = normal(rng, 1, COLUMNS // 12, 3, 4)
    geometry = {"kernel_shape": [3, 4], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
    return Case(op, {"x": x, **packed}, {"out_channels": ROWS, "int8": 1, **rotation, **geometry})


def run(case: Case, attributes: dict[str, Any] | None = None, **inputs: Any) -> np.ndarray:
    given_attributes = {**case.attributes, **(attributes or {})}
    return native.run_op(case.name, {**case.inputs, **inputs}, given_attributes)


def with_field(codes: np.ndarray, field: str, value: int) -> np.ndarray:
    offset, letter = FIELDS[field]
    changed = codes.copy()
    struct.pack_into(f"<{letter}", changed.data, offset, value)
    return changed


OPS = pytest.mark.parametrize("op", ["VQMatMul", "VQConv", "VQGather"])


@OPS
def test_the_good_ones_run(op: str) -> None:
    assert np.isfinite(run(good(op))).all()


@OPS
@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("version", (0, 2, 65535), "layout version .* update smalti"),
        ("p", (0, 1, 3, 4, 8, 255), "no kernel for .* weights"),
        ("bits", (0, 3, 5, 7, 255), "no kernel for .* bits"),
        ("bits", (4, 8), "codes: "),
        ("rows", (0, 2**31, 2**32 - 1), "codes: .* rows"),
        ("rows", (1, 16, 33, 2**31 - 1), "codes: "),
        ("rows", (17, 19, 21, 32), "weights have|outside|table"),
        ("columns", (0, 2**31, 2**32 - 1), "codes: .* columns"),
        ("columns", (1, 32, 1000, 2**31 - 1), "codes: "),
        ("columns", (299, 301, 320), "columns|table has"),
        ("group", (1, 32, 100, 512, 2**32 - 1), "scale group"),
        ("group", (0, 64, 256), "scales: "),
    ],
)
def test_header_fields(op: str, field: str, values: tuple[int, ...], message: str) -> None:
    case = good(op)
    for value in values:
        codes = with_field(case.inputs["codes"], field, value)
        if op == "VQGather" and field == "rows" and 17 <= value <= 32:
            continue  # a table of as many tiles: rows are only as far as indices go
        with pytest.raises(NativeError, match=message):
            run(case, codes=codes)


@pytest.mark.parametrize("op", ["VQConv", "VQGather"])
@pytest.mark.parametrize("field", ["block", "seed"])
def test_rotation_that_the_node_does_not_know(op: str, field: str) -> None:
    case = good(op)
    with pytest.raises(NativeError, match="block 12 and seed 5, the header of codes says"):
        run(case, codes=with_field(case.inputs["codes"], field, 4))


@OPS
def test_magic(op: str) -> None:
    case = good(op)
    codes = case.inputs["codes"].copy()
    codes[0] ^= 1
    with pytest.raises(NativeError, match="SMLT"):
        run(case, codes=codes)


@OPS
@pytest.mark.parametrize("name", ["codes", "scales", "grid"])
def test_wrong_sizes(op: str, name: str) -> None:
    case = good(op)
    flat = case.inputs[name].ravel()
    for wrong in (flat[:0], flat[:1], flat[:-1], np.append(flat, flat[:1]), flat[: len(flat) // 2]):
        with pytest.raises(NativeError, match=f"{name}: "):
            run(case, **{name: wrong})


@OPS
@pytest.mark.parametrize("name", ["codes", "scales", "grid"])
def test_wrong_types_and_missing_inputs(op: str, name: str) -> None:
    case = good(op)
    with pytest.raises(NativeError, match=f"input '{name}' is f32"):
        run(case, **{name: case.inputs[name].astype(np.float32)})
    with pytest.raises(NativeError, match=f"input '{name}' is"):
        run(case, **{name: None})


@OPS
@pytest.mark.parametrize("form", ["vq-2x64", "vq-2x256"])
def test_grid_without_symmetry(op: str, form: str) -> None:
    case = good(op, Format.parse(form))
    for i in (0, 17, -1):
        grid = case.inputs["grid"].copy()
        grid[i, 1] ^= 1
        with pytest.raises(NativeError, match="grid: not symmetric"):
            run(case, grid=grid)


@OPS
@pytest.mark.parametrize("form", ["vq-1x16", "vq-2x16", "vq-4x256"])
def test_grid_beyond_127(op: str, form: str) -> None:
    case = good(op, Format.parse(form))
    grid = case.inputs["grid"].copy()
    grid[7, -1] = -128
    with pytest.raises(NativeError, match="grid: an entry is -128"):
        run(case, grid=grid)


@pytest.mark.parametrize("index", [-1, ROWS, 2**31, 2**62, -(2**63)])
def test_indices_outside_the_table(index: int) -> None:
    indices = np.array([[0, 1], [2, index]])
    with pytest.raises(NativeError, match=f"indices: {index} at position 3 is outside 0 .. 19"):
        run(good("VQGather"), indices=indices)


@pytest.mark.parametrize("block", [0, -4, 3, 7, 9, 8, 24, 2048, 2**40])
@pytest.mark.parametrize("op", ["VQConv", "VQGather", "HadamardTransform"])
def test_blocks_that_do_not_fit(op: str, block: int) -> None:
    rotation = {"block": block, "seed": SEED}
    alone = Case(op, {"x": np.zeros(COLUMNS, np.float32)}, {})
    case = alone if op == "HadamardTransform" else good(op)
    with pytest.raises(NativeError, match=f"block {block} is no Hadamard order"):
        run(case, rotation)


@pytest.mark.parametrize(
    ("op", "attribute", "value", "message"),
    [
        ("VQMatMul", "out_features", 19, "out_features is 19, the weights have 20"),
        ("VQMatMul", "out_features", -1, "shape"),
        ("VQConv", "out_channels", 21, "out_channels is 21"),
        ("VQGather", "columns", 299, "columns is 299"),
        ("VQConv", "kernel_shape", [3, 2], "patches of 150"),
        ("VQConv", "kernel_shape", [3], "kernel_shape"),
        ("VQConv", "kernel_shape", [0, 4], "kernel_shape"),
        ("VQConv", "strides", [1, 0], "strides"),
        ("VQConv", "dilations", [1, 1, 1], "dilations"),
        ("VQConv", "pads", [1, 1], "pads"),
        ("VQConv", "pads", [0, 0, 0, -1], "pads"),
        ("VQConv", "pads", [0] * 9, "pads"),
    ],
)
def test_attributes(op: str, attribute: str, value: Any, message: str) -> None:
    with pytest.raises(NativeError, match=message):
        run(good(op), {attribute: value})


@pytest.mark.parametrize(
    ("op", "name", "shape"),
    [
        ("VQMatMul", "x", ()),
        ("VQMatMul", "x", (3, 299)),
        ("VQMatMul", "x", (3, 0)),
        ("VQMatMul", "bias", (19,)),
        ("VQConv", "x", (1, 25, 3)),
        ("VQConv", "x", (1, 24, 3, 4)),
        ("VQConv", "bias", (21,)),
    ],
)
def test_shapes(op: str, name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(NativeError, match=f"{name}: "):
        run(good(op), **{name: np.zeros(shape, np.float32)})


@given(st.sampled_from(["VQMatMul", "VQConv", "VQGather"]), st.data())
@settings(max_examples=200)
def test_any_header_is_refused_or_run(op: str, data: st.DataObject) -> None:
    case = good(op)
    codes = case.inputs["codes"].copy()
    for _ in range(data.draw(st.integers(1, 4))):
        codes[data.draw(st.integers(0, 63))] = data.draw(st.integers(0, 255))
    try:
        run(case, codes=codes)
    except NativeError as error:
        assert str(error).startswith(op)
