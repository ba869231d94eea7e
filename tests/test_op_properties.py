"""What the operators have to be, whatever their sizes: linear, orthogonal, equal to one another."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from oracle import everywhere, exact

from smalti.runtime import native
from smalti.runtime.ops.case import FORMATS, Case, normal, random_packed
from smalti.runtime.packing import Header
from smalti.runtime.rotation import block_for, signs

BLOCKS = [b for b in range(1, 1025) if block_for(b) == b]
SEEDS = st.integers(0, 2**63 - 1)


@st.composite
def products(draw: st.DrawFn, int8: bool | None = None) -> Case:
    """VQMatMul calls without bias."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns, rows = draw(st.integers(1, 600)), draw(st.integers(0, 20))
    header = Header(draw(st.sampled_from(FORMATS)), draw(st.integers(1, 50)), columns, 1, 0)
    inputs = {"x": normal(rng, rows, columns), **random_packed(rng, header)}
    mode = draw(st.booleans()) if int8 is None else int8
    attributes = {"out_features": header.rows, "step": 0.01, "int8": mode}
    return Case(str(header), inputs, attributes)


def run(case: Case, **inputs: np.ndarray) -> np.ndarray:
    return native.run_op("VQMatMul", {**case.inputs, **inputs}, case.attributes)


def largest_products(case: Case) -> np.ndarray:
    """The sums of |x w|, which a dot product's rounding is relative to."""
    weights = run(case, x=np.eye(case.inputs["x"].shape[1], dtype=np.float32))
    return np.abs(case.inputs["x"]) @ np.abs(weights)


@given(products())
@settings(max_examples=150)
def test_any_shape_agrees(case: Case) -> None:
    (_, _, first), *others = everywhere("VQMatMul", case)
    exact_int8 = replace(case, attributes={**case.attributes, "int8": False})
    # rounding of up to 600 float additions; measured 2e-7
    bound = 2e-6 * largest_products(exact_int8) + 1e-30
    assert (np.abs(first - exact("VQMatMul", case)) <= bound).all()
    assert all(found.tobytes() == first.tobytes() for _, _, found in others)


@given(products(int8=False), st.floats(-4, 4, width=32))
@settings(max_examples=40)
def test_float_mode_is_linear(case: Case, factor: float) -> None:
    x, other = case.inputs["x"], case.inputs["x"][::-1] * np.float32(0.5)
    mixed = run(case, x=(x + np.float32(factor) * other))
    apart = run(case) + factor * run(case, x=other)
    bound = largest_products(case)
    assert (np.abs(mixed - apart) <= 4e-6 * (bound + abs(factor) * 0.5 * bound[::-1]) + 1e-30).all()


@given(products(), st.integers(-20, 20))
@settings(max_examples=40)
def test_powers_of_two_and_signs_pass_through(case: Case, power: int) -> None:
    scaled = run(case, x=np.ldexp(case.inputs["x"], power))
    assert np.array_equal(scaled, np.ldexp(run(case), power))
    assert np.array_equal(run(case, x=-case.inputs["x"]), -run(case))


@given(products())
@settings(max_examples=40)
def test_a_row_does_not_depend_on_its_neighbours(case: Case) -> None:
    together = run(case)
    for i, row in enumerate(case.inputs["x"]):
        assert run(case, x=row).tobytes() == together[i].tobytes()


def rotate(x: np.ndarray, block: int, seed: int) -> np.ndarray:
    return native.run_op("HadamardTransform", [x], {"block": block, "seed": seed})


@given(st.sampled_from(BLOCKS), st.integers(1, 4), SEEDS, st.integers(0, 2**32))
@settings(max_examples=80)
def test_rotation_is_orthogonal(block: int, blocks: int, seed: int, numbers: int) -> None:
    x = normal(np.random.default_rng(numbers), 3, block * blocks)
    y, flip = rotate(x, block, seed), signs(seed, block * blocks)
    norms = np.linalg.norm(x.astype(np.float64), axis=-1)
    assert np.allclose(np.linalg.norm(y.astype(np.float64), axis=-1), norms, rtol=1e-6)
    back = rotate(y * flip, block, seed) * flip  # D (H D) (D y) = D H y
    assert np.allclose(back, x, rtol=0, atol=2e-6 * float(norms.max()))


@pytest.mark.parametrize("block", [8, 12, 20, 28, 56, 1024])
def test_rotation_spreads_one_value_evenly(block: int) -> None:
    y = rotate(np.eye(block, dtype=np.float32), block, 3)
    assert np.allclose(np.abs(y), block**-0.5, rtol=1e-6)


@given(st.integers(0, 2**64 - 1), st.integers(0, 300))
def test_signs_are_the_same_in_c(seed: int, count: int) -> None:
    assert np.array_equal(native.signs(seed, count), signs(seed, count))


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kernel, dilations = draw(PAIRS), draw(PAIRS)
    channels = draw(st.sampled_from([1, 3, 4, 8, 12, 16, 64]))
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    size = [draw(st.integers(1, most)) + r for most, r in zip((5, 20), reach, strict=True)]
    patch = channels * kernel[0] * kernel[1]
    block = block_for(patch)
    header = Header(draw(st.sampled_from(FORMATS)), draw(st.integers(1, 40)), patch, block, 7)
    x = normal(rng, draw(st.integers(1, 2)), channels, *size)
    attributes = {
        "out_channels": header.rows,
        "step": 0.01,
        "int8": draw(st.booleans()),
        "block": block,
        "seed": 7,
        "kernel_shape": kernel,
        "strides": draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        "pads": draw(st.tuples(*[st.integers(0, 3)] * 4)),
        "dilations": dilations,
    }
    return Case(str(header), {"x": x, **random_packed(rng, header)}, attributes)


def patches(case: Case) -> np.ndarray:
    """(N, H', W', C * kernel), in which order weights are."""
    a, x = case.attributes, case.inputs["x"]
    top, left, bottom, right = a["pads"]
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = [d * (k - 1) + 1 for d, k in zip(a["dilations"], a["kernel_shape"], strict=True)]
    views = sliding_window_view(padded, reach, (2, 3))
    (s, t), (d, e) = a["strides"], a["dilations"]
    taken = views[:, :, ::s, ::t, ::d, ::e].transpose(0, 2, 3, 1, 4, 5)
    return taken.reshape(*taken.shape[:3], -1)


@given(convolutions())
@settings(max_examples=100)
def test_convolution_is_a_product_of_rotated_patches(case: Case) -> None:
    a = case.attributes
    attributes = {"out_features": a["out_channels"], "step": a["step"], "int8": a["int8"]}
    weights = {name: case.inputs[name] for name in ("codes", "scales", "grid")}
    rotated = rotate(patches(case), a["block"], a["seed"])
    y = native.run_op("VQMatMul", {"x": rotated, **weights}, attributes)
    found = native.run_op("VQConv", case.inputs, a, threads=2)
    assert np.array_equal(found, y.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("form", FORMATS, ids=str)
@pytest.mark.parametrize("columns", [27, 96, 100, 192, 300])
def test_rotating_activations_is_rotating_weights_back(form: Any, columns: int) -> None:
    rng = np.random.default_rng(columns)
    block = block_for(columns)
    packed = random_packed(rng, Header(form, 20, columns, block, 9))
    x = normal(rng, 5, columns)
    weights = {"step": 0.02, "block": block, "seed": 9, "columns": columns}
    rows = native.run_op("VQGather", {"indices": np.arange(20), **packed}, weights)
    attributes = {"out_features": 20, "step": 0.02, "int8": False}
    y = native.run_op("VQMatMul", {"x": rotate(x, block, 9), **packed}, attributes)
    assert np.linalg.norm(y - x @ rows.T) <= 1e-5 * np.linalg.norm(y)
