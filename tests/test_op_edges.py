"""Activations at the edge of floats: NaN stays where it is, nothing else gets lost."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from oracle import everywhere, exact, nmse, reference

from smalti.runtime import native
from smalti.runtime.format import Format
from smalti.runtime.ops.case import Case, normal, random_packed
from smalti.runtime.ops.vq_conv.cases import cases as conv_cases
from smalti.runtime.packing import Header

FORMATS = [Format.parse(name) for name in ("vq-1x16-g64", "vq-2x64-g128", "vq-4x256-row")]
MODES = pytest.mark.parametrize("int8", [True, False], ids=["int8", "float"])
ANY_FORMAT = pytest.mark.parametrize("form", FORMATS, ids=str)


def product(form: Format, int8: bool, x: np.ndarray | None = None) -> Case:
    columns = 300 if x is None else x.shape[-1]
    packed = random_packed(np.random.default_rng(8), Header(form, 20, columns, 1, 0))
    x = normal(np.random.default_rng(9), 12, columns) if x is None else x
    return Case("", {"x": x, **packed}, {"out_features": 20, "step": 0.01, "int8": int8})


def result(op: str, case: Case) -> np.ndarray:
    """Of portable, once all the others are seen to be equal."""
    (_, _, first), *others = everywhere(op, case)
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    return first


@ANY_FORMAT
@MODES
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 131, 299])
def test_not_finite_stays_in_its_row(form: Format, int8: bool, value: float, column: int) -> None:
    clean = product(form, int8)
    x = clean.inputs["x"].copy()
    x[5, column] = value
    found = result("VQMatMul", product(form, int8, x))
    assert not np.isfinite(found[5]).any()
    assert not int8 or np.isnan(found[5]).all()
    others = np.arange(12) != 5
    assert found[others].tobytes() == result("VQMatMul", clean)[others].tobytes()


def test_not_finite_pixels_stay_in_their_patches() -> None:
    case = next(c for c in conv_cases() if "many-pixels-int8" in c.name)
    x = case.inputs["x"].copy()
    x[1, 3, 10, 8] = np.nan
    found = result("VQConv", replace(case, inputs={**case.inputs, "x": x}))
    touched = np.zeros(found.shape, bool)
    touched[1, :, 9:12, 7:10] = True
    assert np.isnan(found[touched]).all()
    assert np.array_equal(found[~touched], result("VQConv", case)[~touched])


def test_not_finite_stays_in_its_block() -> None:
    x = normal(np.random.default_rng(1), 2, 96)
    x[0, 40] = np.nan
    found = result("HadamardTransform", Case("", {"x": x}, {"block": 24, "seed": 1}))
    assert np.array_equal(np.isnan(found[0]), np.arange(96) // 24 == 1)
    assert np.isfinite(found[1]).all()


@ANY_FORMAT
@MODES
def test_rows_of_zeros_give_the_bias(form: Format, int8: bool) -> None:
    case = product(form, int8, np.zeros((3, 300), np.float32))
    assert not result("VQMatMul", case).any()
    bias = np.linspace(-1, 1, 20, dtype=np.float32)
    with_bias = replace(case, inputs={**case.inputs, "bias": bias})
    assert np.array_equal(result("VQMatMul", with_bias), np.tile(bias, (3, 1)))


@ANY_FORMAT
@MODES
@pytest.mark.parametrize("size", [1e-25, 1e-12, 1e12, 1e30])
def test_any_size_is_as_precise(form: Format, int8: bool, size: float) -> None:
    x = normal(np.random.default_rng(2), 5, 300) * np.float32(size)
    case = product(form, int8, x)
    assert nmse(result("VQMatMul", case) / size, exact("VQMatMul", case) / size) < 1e-11


@ANY_FORMAT
@MODES
@pytest.mark.parametrize("size", [1e-45, 1e-40, 1e-38, 3e-37, 1e-35])
def test_vanishing_rows_vanish(form: Format, int8: bool, size: float) -> None:
    x = np.full((2, 300), size, np.float32)
    x[1] = 1
    found = result("VQMatMul", product(form, int8, x))
    assert (np.abs(found[0]) <= size * 300 * 128 * 0.01 + 1e-45).all()
    assert np.isfinite(found).all()
    assert found[1].any()


@ANY_FORMAT
def test_the_largest_floats_do_not_crash(form: Format) -> None:
    x = np.full((2, 300), np.finfo(np.float32).max)
    x[1] = 1
    for int8 in (True, False):
        found = result("VQMatMul", product(form, int8, x))
        assert np.isfinite(found[1]).all()


@ANY_FORMAT
def test_ties_round_to_even_everywhere(form: Format) -> None:
    x = np.resize(np.arange(-126, 127, dtype=np.float32) + 0.5, (4, 384))
    x[:, ::32] = 127  # a step of 1 in every group
    case = product(form, True, x)
    assert nmse(result("VQMatMul", case), exact("VQMatMul", case)) < 1e-11
    assert nmse(reference("VQMatMul", case), exact("VQMatMul", case)) < 1e-11


@ANY_FORMAT
@MODES
def test_scales_of_any_half(form: Format, int8: bool) -> None:
    """Subnormal, zero, negative and the largest fp16 scales."""
    case = product(form, int8)
    halves = np.array([0x0001, 0x03FF, 0x0400, 0, 0x8000, 0xBC00, 0x7BFF, 0x8001], np.uint16)
    scales = np.resize(halves, case.inputs["scales"].shape).view(np.float16)
    hard = replace(case, inputs={**case.inputs, "scales": scales})
    found, wanted = result("VQMatMul", hard), exact("VQMatMul", hard)
    for feature in range(20):
        assert nmse(found[:, feature], wanted[:, feature]) < 1e-10


def test_threads_of_the_caller_do_not_disturb_each_other() -> None:
    cases = [product(form, int8) for form in FORMATS for int8 in (True, False)] * 8

    def run(case: Case) -> bytes:
        return native.run_op("VQMatMul", case.inputs, case.attributes, threads=2).tobytes()

    wanted = [run(case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, cases)) == wanted
