"""SplineEval beside SciPy, at its knots and beyond them, and what it refuses."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import everywhere, reference
from scipy.interpolate import PPoly
from torch.autograd import gradcheck, gradgradcheck

from smalti.runtime import native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.case import Case
from smalti.runtime.ops.spline_eval.op import spline_eval

CLAMP, LINEAR, ZERO, PERIODIC = range(4)
NAN, INF = float("nan"), float("inf")


def attributes(extrapolate=CLAMP, derivative=0, start=0.0, step=1.0):
    return {
        "extrapolate": extrapolate,
        "derivative": derivative,
        "start": start,
        "step": step,
    }


def run(x, coefficients, knots=None, **chosen):
    """Of portable, once all the others are seen to be equal."""
    inputs = {"x": np.float32(x), "coefficients": np.float32(coefficients)}
    if knots is not None:
        inputs["knots"] = np.float32(knots)
    (_, _, first), *others = everywhere("SplineEval", Case("", inputs, attributes(**chosen)))
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    return first


def random_spline(intervals, count, seed=0):
    rng = np.random.default_rng(seed)
    knots = np.float32(np.cumsum(rng.uniform(0.2, 1.5, intervals + 1)) - 3)
    return knots, rng.standard_normal((intervals, count)).astype(np.float32)


@pytest.mark.parametrize("derivative", [0, 1, 2])
@pytest.mark.parametrize("intervals", [1, 2, 7, 16, 17, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_it_is_scipy_s_piecewise_polynomial(count, intervals, derivative):
    knots, table = random_spline(intervals, count)
    x = np.random.default_rng(1).uniform(knots[0], knots[-1], 999).astype(np.float32)
    x[: intervals + 1] = knots[:999]  # half-open intervals, the last one closed
    peer = PPoly(table.T[::-1].astype(np.float64), knots.astype(np.float64))
    wanted = peer(x.astype(np.float64), derivative)
    found = run(x, table[None], knots[None], derivative=derivative)
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max() + 1e-30


def test_uniform_knots_need_not_be_given():
    _, table = random_spline(9, 4)
    x = np.random.default_rng(1).uniform(-1, 4, (5, 3)).astype(np.float32)
    knots = -0.5 + 0.5 * np.arange(10)
    for mode in (CLAMP, LINEAR, ZERO, PERIODIC):
        given_ = run(x, table[None], knots[None], extrapolate=mode)
        uniform = run(x, table[None], extrapolate=mode, start=-0.5, step=0.5)
        assert np.abs(given_ - uniform).max() <= 2e-6, mode


@pytest.mark.parametrize("knots", [None, [[0, 1, 2]]])
def test_what_is_beyond_the_knots(knots):
    table = [[[1, 2, 1], [4, 4, -1]]]  # (1 + x)^2, then 4 + 4 t - t^2, with slope 2 at the end
    x = [-2, -0.5, 0, 1, 2, 2.5, 5]
    assert run(x, table, knots).tolist() == [1, 1, 1, 4, 7, 7, 7]
    assert run(x, table, knots, extrapolate=LINEAR).tolist() == [-3, 0, 1, 4, 7, 8, 13]
    assert run(x, table, knots, extrapolate=ZERO).tolist() == [0, 0, 1, 4, 7, 0, 0]
    assert run(x, table, knots, extrapolate=PERIODIC).tolist() == [1, 5.75, 1, 4, 1, 2.25, 4]
    slopes = {
        CLAMP: [0, 0, 2, 4, 2, 0, 0],
        LINEAR: [2, 2, 2, 4, 2, 2, 2],
        ZERO: [0, 0, 2, 4, 2, 0, 0],
        PERIODIC: [2, 3, 2, 4, 2, 3, 4],
    }
    for mode, wanted in slopes.items():
        assert run(x, table, knots, extrapolate=mode, derivative=1).tolist() == wanted
    curved = run(x, table, knots, extrapolate=LINEAR, derivative=2)
    assert curved.tolist() == [0, 0, 2, -2, -2, 0, 0]


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("mode", [CLAMP, LINEAR, ZERO, PERIODIC])
def test_nan_and_infinite_points(mode, count):
    knots, table = random_spline(5, count)
    x = np.float32([NAN, INF, -INF, 0.1, NAN])
    for given_ in (None, knots[None]):
        found = run(x, table[None], given_, extrapolate=mode)
        lost = [True, mode == PERIODIC, mode == PERIODIC, False, True]
        assert np.isnan(found).tolist() == lost
        inputs = {"x": x, "coefficients": table[None]}
        case = Case("", inputs | ({} if given_ is None else {"knots": given_}), attributes(mode))
        assert np.allclose(found, reference("SplineEval", case), equal_nan=True, rtol=1e-6)


@given(
    arrays(np.float32, 21, elements=st.floats(width=32)),
    st.sampled_from([CLAMP, LINEAR, ZERO, PERIODIC]),
    st.integers(0, 2),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_point_gives_nan_or_a_value_of_the_spline(x, mode, derivative, uniform):
    knots, table = random_spline(20, 4)
    found = run(
        x, table[None], None if uniform else knots[None], extrapolate=mode, derivative=derivative
    )
    lost = np.isnan(x) | (np.isinf(x) if mode == PERIODIC else False)
    assert np.array_equal(np.isnan(found), lost)
    if mode != LINEAR:
        assert (np.abs(found[~lost]) <= 200).all()


def test_knots_that_are_there_twice_make_empty_intervals():
    table = [[[1], [2], [3]]]
    assert run([0, 1, 1.5, 2], table, [[0, 1, 1, 2]]).tolist() == [1, 3, 3, 3]
    assert run([0, 1, 2, 3], table, [[1, 1, 1, 1]], extrapolate=PERIODIC).tolist() == [3] * 4


def test_numbers_that_no_table_index_survives_stay_inside():
    table = np.arange(7, dtype=np.float32).reshape(1, 7, 1)
    assert run([1e8 + 64], table, start=1e8, step=1.0).tolist() == [6]
    assert run([5.6e-45, 1], table, step=1.4e-45).tolist() == [4, 6]
    assert run([3e38, -3e38], table, start=-1e38, step=2e37).tolist() == [6, 0]


def test_channels_have_their_own_splines_and_knots():
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 5, (13, 11)).astype(np.float32)
    table = rng.standard_normal((11, 4, 3)).astype(np.float32)
    knots = np.sort(rng.uniform(0, 4, (11, 5)).astype(np.float32))
    found = run(x, table, knots, extrapolate=LINEAR)
    for c in range(11):
        own = run(x[:, c], table[c : c + 1], knots[c : c + 1], extrapolate=LINEAR)
        assert np.array_equal(found[:, c], own)
    shared = run(x, table[:1], knots)
    assert np.array_equal(shared[:, 3], run(x[:, 3], table[:1], knots[3:4]))


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("mode", [CLAMP, LINEAR, ZERO, PERIODIC])
def test_gradients_are_those_of_finite_differences(mode, uniform):
    torch.manual_seed(0)
    knots = None if uniform else torch.tensor([[0.0, 0.7, 1.5, 3.0]], dtype=torch.double)
    x = torch.tensor([-0.6, 0.2, 1.3, 2.9, 3.4], dtype=torch.double, requires_grad=True)
    table = torch.randn(1, 3, 4, dtype=torch.double, requires_grad=True)

    def spline(points, coefficients):
        return spline_eval.call(points, coefficients, knots, mode, 0, 0.0, 1.0)

    assert gradcheck(spline, (x, table))
    assert gradgradcheck(spline, (x, table))
    (slope,) = torch.autograd.grad(spline(x, table).sum(), x)
    assert torch.allclose(slope, spline_eval.call(x, table, knots, mode, 1, 0.0, 1.0))


GOOD = {"x": (5, 3), "coefficients": (1, 4, 4), "knots": (1, 5)}
REFUSED = [
    ({"coefficients": (4, 4)}, {}, "coefficients: rank 2; pass .channels or 1"),
    ({"coefficients": (1, 0, 4)}, {}, "coefficients: 0 intervals; pass"),
    ({"coefficients": (1, 4, 0)}, {}, "coefficients: 0 an interval; pass 1 to 6"),
    ({"coefficients": (1, 4, 7)}, {}, "coefficients: 7 an interval; pass 1 to 6"),
    ({"coefficients": (2, 4, 4)}, {}, "coefficients: of 2 channels; pass 1 or 3"),
    ({"coefficients": (0, 4, 4)}, {}, "coefficients: of 0 channels; pass 1 or 3"),
    ({"knots": (5,)}, {}, "knots: rank 1; pass"),
    ({"knots": (1, 4)}, {}, "knots: 4; pass 5 for 4 intervals"),
    ({"knots": (2, 5)}, {}, "knots: of 2 channels; pass 1 or 3"),
    ({}, {"extrapolate": 4}, "extrapolate: 4; pass 0 .clamp"),
    ({}, {"extrapolate": -1}, "extrapolate: -1; pass"),
    ({}, {"derivative": 3}, "derivative: 3; pass 0, 1 or 2"),
    ({}, {"derivative": -1}, "derivative: -1; pass"),
]


@pytest.mark.parametrize(("shapes", "changed", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(shapes, changed, message):
    inputs = {name: np.zeros(shape, np.float32) for name, shape in {**GOOD, **shapes}.items()}
    with pytest.raises(NativeError, match=f"SplineEval: {message}"):
        native.run_op("SplineEval", inputs, {**attributes(), **changed})


@pytest.mark.parametrize(
    "knots", [[0, 2, 1], [0, NAN, 1], [NAN, 0, 1], [0, 1, NAN], [-INF, 0, 1], [-3e38, 0, 3e38]]
)
def test_knots_out_of_order_are_refused(knots):
    with pytest.raises(NativeError, match="knots: those of channel 0 do not ascend; pass finite"):
        run([0.5], np.zeros((1, 2, 2)), [knots])


@pytest.mark.parametrize("step", [0.0, -1.0, NAN, INF])
def test_steps_that_lead_nowhere_are_refused(step):
    with pytest.raises(NativeError, match="step: .* from start 0; without knots pass a step above"):
        run([0.5], np.zeros((1, 2, 2)), step=step)
