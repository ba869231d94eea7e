"""BinaryConv is the convolution of signs, exactly: in Torch, on every level, in every engine."""

import struct
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import everywhere, reference
from torch.nn.functional import conv2d, pad

from smalti.runtime import native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.binary_conv.cases import binary_case
from smalti.runtime.ops.binary_conv.op import signs, unpack_bits
from smalti.runtime.ops.binary_conv.packing import (
    HEADER,
    MOST_WEIGHTS,
    TILE_OUTPUTS,
    pack_bits,
    packed_bytes,
)
from smalti.runtime.ops.case import Case
from smalti.runtime.ops.vq_conv.cases import Geometry


def convolved(case: Case, positive: np.ndarray) -> np.ndarray:
    """In integers that float64 holds exactly, then the two roundings of float32."""
    a = case.attributes
    top, left, bottom, right = a["pads"]
    bits = torch.from_numpy(np.where(case.inputs["x"] >= 0, 1.0, -1.0))
    weight = torch.from_numpy(np.where(positive, 1.0, -1.0))
    padded = pad(bits, (left, right, top, bottom))
    y = conv2d(padded, weight, stride=a["strides"], dilation=a["dilations"])
    scaled = y.numpy().astype(np.float32) * case.inputs["alpha"].reshape(-1, 1, 1)
    return scaled + case.inputs["bias"].reshape(-1, 1, 1) if "bias" in case.inputs else scaled


def unpacked(case: Case) -> np.ndarray:
    a = case.attributes
    codes = torch.from_numpy(case.inputs["codes"])
    channels = case.inputs["x"].shape[1]
    return unpack_bits(codes, a["out_channels"], channels, a["kernel_shape"]).numpy() > 0


def run(case: Case, **inputs: np.ndarray) -> np.ndarray:
    return native.run_op("BinaryConv", {**case.inputs, **inputs}, case.attributes)


SIDES, KERNELS, PADS = ((1, 1), (2, 5), (4, 3)), ((1, 1), (1, 3), (2, 2), (3, 3)), (0, 1, 2)


@pytest.mark.parametrize("channels", [1, 3, 8, 17])
@pytest.mark.parametrize("isa", native.isas())
def test_every_small_geometry(isa: str, channels: int) -> None:
    rng, count = np.random.default_rng(channels), 0
    steps = product(SIDES, KERNELS, product(PADS, PADS), ((1, 1), (2, 1)), ((1, 1), (1, 2)))
    with native.forced_isa(isa):
        for side, kernel, (before, after), strides, dilations in steps:
            reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
            if any(s + before + after < r for s, r in zip(side, reach, strict=True)):
                continue
            pads = (before, after, after, before)
            g = Geometry("", (2, channels, *side), kernel, strides, pads, dilations)
            case = binary_case(rng, 5, g)
            assert np.array_equal(run(case), convolved(case, unpacked(case))), g
            count += 1
    assert count > 250


@given(
    st.tuples(st.integers(0, 3), st.integers(1, 70), st.integers(1, 20), st.integers(1, 20)),
    st.integers(1, 100),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(*[st.integers(0, 6)] * 4),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(0, 2**32),
)
@settings(max_examples=60)
def test_any_geometry(x, outputs, kernel, strides, pads, dilations, seed) -> None:
    geometry = Geometry("", x, kernel, strides, pads, dilations)
    case = binary_case(np.random.default_rng(seed), outputs, geometry)
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    sides = x[2] + pads[0] + pads[2], x[3] + pads[1] + pads[3]
    fits = all(s >= r for s, r in zip(sides, reach, strict=True))
    wanted = convolved(case, unpacked(case)) if fits else None
    for isa, threads, found in everywhere("BinaryConv", case):
        assert found.size == 0 if wanted is None else np.array_equal(found, wanted), (isa, threads)
    if wanted is not None and x[0] > 0:
        assert np.array_equal(reference("BinaryConv", case), wanted)


def test_sums_beyond_a_byte_and_up_to_the_most_weights() -> None:
    channels = MOST_WEIGHTS
    x = -np.ones((1, channels, 1, 1), np.float32)
    positive = np.ones((33, channels, 1, 1), bool)
    positive[5, :7] = False
    codes, alpha = pack_bits(positive), np.ones(33, np.float32)
    one = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1]}
    case = Case("", {"x": x, "codes": codes, "alpha": alpha}, {"out_channels": 33, **one})
    wanted = np.full((1, 33, 1, 1), -channels, np.float32)
    wanted[0, 5] += 14
    for isa, _, found in everywhere("BinaryConv", case):
        assert np.array_equal(found, wanted), isa


def test_zeros_of_either_sign_are_positive_and_padding_is_nothing() -> None:
    rng = np.random.default_rng(0)
    case = binary_case(rng, 3, Geometry("", (1, 5, 2, 2), pads=(3, 3, 3, 3)))
    sums = np.where(unpacked(case), 1.0, -1.0).sum(1)  # over channels
    for zero in (0.0, -0.0):
        x = np.full((1, 5, 2, 2), zero, np.float32)
        y = run(case, x=x, alpha=np.ones(3, np.float32), bias=np.zeros(3, np.float32))
        assert not y[0, :, 0].any() and not y[0, :, :, -1].any()  # padding alone
        assert np.array_equal(y[0, :, 1, 1], sums[:, 2, 2])  # one pixel, by its last tap
        assert np.array_equal(y[0, :, 3, 3], sums[:, :2, :2].sum((1, 2)))


def test_infinities_have_signs() -> None:
    case = binary_case(np.random.default_rng(1), 4, Geometry("", (1, 9, 3, 3)))
    x = case.inputs["x"]
    assert np.array_equal(run(case, x=np.copysign(np.float32(np.inf), x + 0.0)), run(case))


@pytest.mark.parametrize("isa", native.isas())
@pytest.mark.parametrize("channel", [0, 31, 32, 69])
@pytest.mark.parametrize("side", [(2, 3), (9, 7)])
def test_nan_fills_its_windows_and_nothing_else(isa, channel, side) -> None:
    g = Geometry("", (2, 70, *side), strides=(2, 1), pads=(1, 1, 1, 1), dilations=(1, 2))
    case = binary_case(np.random.default_rng(2), 40, g)
    x = case.inputs["x"].copy()
    x[1, channel, 1, side[1] // 2] = np.nan
    with native.forced_isa(isa):
        found, clean = run(case, x=x), run(case)
    marks = torch.zeros(2, 1, *side)
    marks[1, 0, 1, side[1] // 2] = 1
    window = conv2d(marks, torch.ones(1, 1, 3, 3), stride=(2, 1), padding=1, dilation=(1, 2))
    touched = np.broadcast_to(window.numpy() > 0, found.shape)
    assert touched.any() and not touched.all()
    assert np.array_equal(np.isnan(found), touched)
    assert np.array_equal(found[~touched], clean[~touched])
    spoiled = replace(case, inputs={**case.inputs, "x": x})
    assert np.array_equal(np.isnan(reference("BinaryConv", spoiled)), touched)


def test_signs_of_the_reference() -> None:
    x = torch.tensor([2.0, 0.0, -0.0, -1e-45, float("inf"), -float("inf"), float("nan")])
    assert torch.equal(signs(x)[:-1], torch.tensor([1.0, 1, 1, -1, 1, -1]))
    assert signs(x)[-1].isnan()
    assert signs(x.double()).dtype == torch.float64


@given(*[st.integers(1, n) for n in (70, 40, 3, 3)], st.integers(0, 2**32))
@settings(max_examples=50)
def test_bits_lie_where_the_page_says(outputs, channels, height, width, seed) -> None:
    positive = np.random.default_rng(seed).random((outputs, channels, height, width)) < 0.5
    packed = pack_bits(positive)
    assert len(packed) == packed_bytes(*positive.shape)
    codes = torch.from_numpy(packed)
    weight = unpack_bits(codes, outputs, channels, (height, width)).numpy()
    assert np.array_equal(weight, np.where(positive, 1, -1))
    octets, taps = -(-channels // 8), height * width
    body = packed[HEADER.size :].reshape(-1, taps, octets, TILE_OUTPUTS)
    o, c, y, x = (n - 1 for n in positive.shape)
    byte = body[o // TILE_OUTPUTS, y * width + x, c // 8, o % TILE_OUTPUTS]
    assert (byte >> c % 8 & 1) == positive[o, c, y, x]
    assert byte >> c % 8 <= 1  # channels that fill up the byte are zero
    assert not body[-1, :, :, o % TILE_OUTPUTS + 1 :].any()


@pytest.mark.parametrize("shape", [(0, 3, 1, 1), (2, 0, 3, 3), (2, 7282, 3, 3)])
def test_weights_that_do_not_pack(shape) -> None:
    with pytest.raises(ValueError, match=r"an output takes 1 to 65535"):
        pack_bits(np.ones(shape, bool))


GOOD = binary_case(np.random.default_rng(3), 40, Geometry("", (1, 20, 4, 4), kernel=(3, 2)))


def with_field(offset: int, letter: str, value: int) -> np.ndarray:
    codes = GOOD.inputs["codes"].copy()
    struct.pack_into(f"<{letter}", codes.data, offset, value)
    return codes


@pytest.mark.parametrize(
    ("offset", "letter", "values", "message"),
    [
        (0, "B", (0, 84), "no packed bits"),
        (4, "H", (0, 2, 65535), "layout version .* update smalti"),
        (8, "I", (0, 2**31, 2**32 - 1), "codes: .* outputs of"),
        (8, "I", (1, 32, 65, 2**31 - 1), "codes: .* values where"),
        (8, "I", (39, 41, 64), "out_channels is 40"),
        (12, "I", (0, 10923, 2**32 - 1), "codes: .* channels"),
        (12, "I", (16, 25), "codes: .* values where"),
        (12, "I", (17, 24), "x: 20 channels"),
        (16, "I", (0, 2**16, 2**32 - 1), "codes: .* taps"),
        (16, "I", (1, 4), "codes: .* values where"),
        (20, "I", (0, 2**32 - 1), "codes: .* taps"),
    ],
)
def test_header_fields(offset, letter, values, message) -> None:
    for value in values:
        with pytest.raises(NativeError, match=message):
            run(GOOD, codes=with_field(offset, letter, value))


def test_a_kernel_turned_over() -> None:
    codes = GOOD.inputs["codes"].copy()
    codes[16:24] = np.roll(codes[16:24], 4)
    with pytest.raises(NativeError, match="kernel_shape is 3 x 2, that of the weights 2 x 3"):
        run(GOOD, codes=codes)


@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=100)
def test_any_header_is_refused_or_run(changes) -> None:
    codes = GOOD.inputs["codes"].copy()
    for at, value in changes:
        codes[at] = value
    try:
        run(GOOD, codes=codes)
    except NativeError as error:
        assert str(error).startswith("BinaryConv")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("x", (1, 21, 4, 4), "x: 21 channels, the weights have 20"),
        ("x", (20, 4, 4), "x: rank 3"),
        ("alpha", (39,), "alpha: 39 values"),
        ("bias", (1,), "bias: 1 values"),
        ("codes", (63,), "codes: 63 bytes"),
    ],
)
def test_inputs_that_do_not_fit(name, shape, message) -> None:
    kind = np.uint8 if name == "codes" else np.float32
    with pytest.raises(NativeError, match=message):
        run(GOOD, **{name: np.zeros(shape, kind)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_channels": 41}, "out_channels is 41"),
        ({"kernel_shape": [2, 3]}, "kernel_shape is 2 x 3"),
        ({"kernel_shape": [3]}, "kernel_shape"),
        ({"strides": [0, 1]}, "strides"),
        ({"dilations": [1, 2**31]}, "dilations"),
        ({"pads": [0, 0, -1, 0]}, "pads"),
        ({"pads": [2**31, 0, 0, 0]}, "pads"),
        ({"pads": [2**30] * 4, "strides": [2**30] * 2}, "bytes of signs with their padding"),
    ],
)
def test_attributes(changes, message) -> None:
    with pytest.raises(NativeError, match=message):
        native.run_op("BinaryConv", GOOD.inputs, {**GOOD.attributes, **changes})
