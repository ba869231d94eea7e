"""SplineLinear beside SciPy's B-splines, at its knots and beyond them, and on both engines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import everywhere
from scipy.interpolate import BSpline
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.runtime import Session, native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.case import Case, normal
from smalti.runtime.ops.spline_linear.module import SplineLinear
from smalti.runtime.ops.spline_linear.op import spline_linear

LOW, HIGH = -1.0, 1.5
DEGREES = pytest.mark.parametrize("degree", range(4))


def call(
    x: Any,
    coefficients: Any,
    base: Any = None,
    degree: int = 3,
    low: float = LOW,
    high: float = HIGH,
) -> np.ndarray:
    """Of portable, once all the others are seen to be equal."""
    inputs = {"x": np.float32(x), "coefficients": np.asarray(coefficients)}
    if base is not None:
        inputs["base"] = np.float32(base)
    case = Case("", inputs, {"degree": degree, "low": low, "high": high})
    (_, _, first), *others = everywhere("SplineLinear", case)
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    return first


def knots(intervals: int, degree: int) -> np.ndarray:
    """Of the intervals and of `degree` more at each end."""
    step = (HIGH - LOW) / intervals
    return LOW + step * np.arange(-degree, intervals + degree + 1)


def scipy_layer(x: np.ndarray, coefficients: np.ndarray, degree: int) -> np.ndarray:
    """The sum over the inputs of splines, each 0 where SciPy does not know it."""
    t = knots(coefficients.shape[1] - degree, degree)
    # More knots and zeros: SciPy's base interval then is all that the splines cover.
    step = t[1] - t[0]
    t = np.concatenate(
        [t[0] - step * np.arange(degree, 0, -1), t, t[-1] + step * np.arange(1, degree + 1)]
    )
    c = np.pad(coefficients.astype(np.float64), ((0, 0), (degree, degree), (0, 0)))
    each = [BSpline(t, c[i], degree, extrapolate=False)(x[..., i]) for i in range(len(c))]
    return np.nan_to_num(np.array(each)).sum(0)


@DEGREES
@pytest.mark.parametrize(("intervals", "outputs"), [(1, 1), (3, 9), (8, 70), (50, 16)])
def test_splines_are_scipy_s(intervals: int, outputs: int, degree: int) -> None:
    rng = np.random.default_rng(degree)
    x = rng.uniform(-3, 4, (200, 5)).astype(np.float32)
    c = normal(rng, 5, intervals + degree, outputs)
    base = normal(rng, 5, outputs)
    wanted = scipy_layer(x.astype(np.float64), c, degree)
    assert np.abs(call(x, c, degree=degree) - wanted).max() <= 1e-5 * (1 + intervals / 8)
    silu = x / (1 + np.exp(-x.astype(np.float64)))
    with_base = wanted + silu @ base.astype(np.float64)
    assert np.abs(call(x, c, base, degree) - with_base).max() <= 3e-5 * (1 + intervals / 8)


@DEGREES
def test_intervals_are_half_open(degree: int) -> None:
    """Knots that float32 has exactly: 0.3125 apart, from -1 to 1.5."""
    c = np.arange(8 + degree, dtype=np.float32).reshape(1, -1, 1)
    at = knots(8, 0)[:-1, None]
    found = call(at, c, degree=degree)[:, 0]
    assert np.allclose(found, np.arange(8) + max(degree - 1, 0) / 2, atol=1e-6)


@DEGREES
def test_splines_add_up_to_one_and_fade_beyond_the_range(degree: int) -> None:
    c = np.ones((1, 5 + degree, 3), np.float32)
    step = (HIGH - LOW) / 5
    inside = np.linspace(LOW, HIGH, 99, endpoint=False)[:, None]
    assert np.abs(call(inside, c, degree=degree) - 1).max() <= 1e-6
    for edge, away in ((LOW, -step), (HIGH, step)):
        way = call(edge + away * np.linspace(1e-3, degree + 0.01, 50)[:, None], c, degree=degree)
        assert (np.diff(way[:, 0]) <= 1e-6).all()
        beyond = np.float32(
            [[edge + away * (degree + 0.01)], [edge + 1e30 * away], [away * np.inf]]
        )
        assert not call(beyond, c, degree=degree).any()


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_finer_grid_has_the_functions_of_a_coarser_one(degree: int) -> None:
    """As KAN's grid extension needs: coefficients by least squares, exact in the range."""
    rng = np.random.default_rng(3)
    coarse = rng.standard_normal((4 + degree, 6))
    t, fine = knots(4, degree), knots(12, degree)
    x = np.linspace(LOW, HIGH, 200)[1:-1]
    values = BSpline(t, coarse, degree)(x)
    refined = np.linalg.lstsq(BSpline.design_matrix(x, fine, degree).toarray(), values, rcond=None)
    found = [call(x[:, None], np.float32(c)[None], degree=degree) for c in (coarse, refined[0])]
    assert np.abs(found[0] - found[1]).max() <= 1e-5


@given(arrays(np.float32, (9, 2), elements=st.floats(width=32)), st.integers(0, 3))
@example(np.full((9, 2), np.float32(HIGH)), 3)
@example(np.full((9, 2), np.nextafter(np.float32(HIGH), np.float32(0))), 0)
@settings(max_examples=60, deadline=None)
def test_any_point_gives_nan_or_a_mean_of_coefficients(x: np.ndarray, degree: int) -> None:
    c = np.full((2, 7 + degree, 5), 2.0, np.float32)
    found = call(x, c, degree=degree)
    assert np.array_equal(np.isnan(found).any(1), np.isnan(x).any(1))
    assert np.array_equal(np.isnan(found).all(1), np.isnan(x).any(1))
    known = found[~np.isnan(found)]
    assert ((known >= 0) & (known <= 4 + 1e-5)).all()


def test_half_precision_coefficients_are_their_own_values() -> None:
    rng = np.random.default_rng(4)
    x, c = rng.uniform(-1, 1.5, (70, 6)), normal(rng, 6, 11, 40).astype(np.float16)
    assert np.array_equal(call(x, c), call(x, c.astype(np.float32)))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0, 3)])
def test_no_rows(shape: tuple[int, ...]) -> None:
    assert call(np.zeros(shape), np.zeros((3, 6, 4), np.float32)).shape == (*shape[:-1], 4)


def test_no_inputs_and_no_outputs() -> None:
    assert not call(np.zeros((2, 0)), np.zeros((0, 6, 4), np.float32)).any()
    assert call(np.zeros((2, 3)), np.zeros((3, 6, 0), np.float32)).shape == (2, 0)


GOOD = {"x": (5, 3), "coefficients": (3, 8, 4), "base": (3, 4)}
REFUSED: list[tuple[dict[str, tuple[int, ...]], dict[str, float], str]] = [
    ({}, {"degree": 4}, "degree: 4; pass 0 to 3"),
    ({}, {"degree": -1}, "degree: -1; pass 0 to 3"),
    ({}, {"high": -1.0}, "high: -1; pass more than low, which is -1"),
    ({}, {"high": float("nan")}, "high: -?nan; pass"),
    ({}, {"low": -float("inf")}, "high: 1.5; pass more than low, which is -inf"),
    ({"x": ()}, {}, "x: rank 0; pass .*in"),
    ({"x": (5, 2)}, {}, "x: 2 inputs; pass 3 as coefficients has"),
    ({"coefficients": (3, 8)}, {}, "coefficients: rank 2; pass .in, intervals"),
    ({"coefficients": (3, 3, 4)}, {}, "coefficients: 3 an edge; pass one for each of 1 to 2"),
    ({"base": (4,)}, {}, "base: rank 1; pass .in, out"),
    ({"base": (2, 4)}, {}, "base: 2 inputs; pass 3"),
    ({"base": (3, 5)}, {}, "base: 5 outputs; pass 4"),
]


@pytest.mark.parametrize(("shapes", "changed", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(
    shapes: dict[str, tuple[int, ...]], changed: dict[str, float], message: str
) -> None:
    zeros = {name: np.zeros(shape, np.float32) for name, shape in {**GOOD, **shapes}.items()}
    with pytest.raises(NativeError, match=f"SplineLinear: {message}"):
        native.run_op("SplineLinear", zeros, {"degree": 3, "low": LOW, "high": HIGH, **changed})


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_gradients_are_those_of_finite_differences(degree: int) -> None:
    torch.manual_seed(0)
    x = torch.tensor([[-0.9, 0.33], [1.7, -1.3], [0.21, 9.0]], dtype=torch.double)
    c = torch.randn(2, 4 + degree, 3, dtype=torch.double)
    base = torch.randn(2, 3, dtype=torch.double)
    given_ = tuple(t.requires_grad_() for t in (x, c, base))

    def layer(*tensors: Tensor) -> Tensor:
        return spline_linear.call(*tensors, degree, LOW, HIGH)

    assert gradcheck(layer, given_)
    if degree > 1:
        assert gradgradcheck(layer, given_)


@pytest.mark.parametrize(
    "wrong", [{"intervals": 0}, {"degree": 4}, {"degree": -1}, {"low": 1.0}, {"high": float("nan")}]
)
def test_a_layer_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pass at least 1 interval, a degree of 0 to 3 and low"):
        SplineLinear(2, 3, **wrong)


def test_two_layers_learn_a_product() -> None:
    """x y = ((x + y)^2 - (x - y)^2) / 4: what sums of functions of one variable can do in two."""
    torch.manual_seed(0)
    net = nn.Sequential(SplineLinear(2, 4), SplineLinear(4, 1, low=-3, high=3))
    x = torch.rand(400, 2) * 2 - 1
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        off = (net(x)[:, 0] - x[:, 0] * x[:, 1]).square().mean()
        off.backward()
        return off

    optimizer.step(loss)
    assert loss().item() < 1e-4  # of a variance of 0.11


def network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(SplineLinear(3, 9), SplineLinear(9, 2, degree=2, low=-2, high=2)).eval()


def off(found: np.ndarray, module: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return relative_error(found, module(x).numpy())


def test_onnx_with_kernels_and_without(tmp_path: Path) -> None:
    module, batch = network(), ({0: torch.export.Dim("batch")},)
    export_onnx(module, (torch.randn(3, 3),), tmp_path / "m.onnx", dynamic_shapes=batch)
    more = torch.cat([torch.randn(20, 3), torch.tensor([[0.0, float("nan"), 0.0]])])
    for kernels in ("require", "off"):
        (found,) = Session(tmp_path / "m.onnx", threads=1, native=kernels).run(more.numpy())
        assert np.isnan(found[-1]).all()
        assert off(found[:-1], module, more[:-1]) <= 1e-5


def test_litert(tmp_path: Path) -> None:
    module, x = network(), torch.randn(7, 3)
    export_tflite(module, (x,), tmp_path / "m.tflite")
    (found,) = Session(tmp_path / "m.tflite", threads=2, native="require").run(x.numpy())
    assert off(found, module, x) <= 1e-5
