"""RationalQuadraticSpline beside the paper's equations, both ways, and its layer on both engines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import everywhere
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.runtime import Session, native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.case import Case, normal
from smalti.runtime.ops.rational_quadratic_spline.module import SplineCoupling
from smalti.runtime.ops.rational_quadratic_spline.op import rational_quadratic_spline

ATTRIBUTES = {
    "inverse": False,
    "tail_bound": 3.0,
    "min_bin_width": 1e-2,
    "min_bin_height": 1e-2,
    "min_derivative": 1e-2,
}
NAMES = ("x", "widths", "heights", "derivatives")
Given = dict[str, Any]


def inputs(x: np.ndarray, bins: int = 8, size: float = 1.0, seed: int = 0) -> Given:
    rng = np.random.default_rng(seed)
    raw = [size * normal(rng, *x.shape, k) for k in (bins, bins, bins - 1)]
    return dict(zip(NAMES, [np.float32(x), *raw], strict=True))


def call(given_: Given, **attributes: Any) -> np.ndarray:
    """Of portable, once all the others are seen to be equal."""
    case = Case("", given_, {**ATTRIBUTES, **attributes})
    (_, _, first), *others = everywhere("RationalQuadraticSpline", case)
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    return first


def knots(raw: np.ndarray, bound: float, least: float = 1e-2) -> np.ndarray:
    shares = np.exp(raw) / np.exp(raw).sum()
    sizes = 2 * bound * (least + (1 - least * len(raw)) * shares)
    return -bound + np.concatenate([[0], np.cumsum(sizes)])


def paper(given_: Given, bound: float, inverse: bool) -> np.ndarray:
    """Durkan et al. (2019), a point at a time: equation 4 or 6 to 8, then the log of equation 5."""
    rows = zip(*(given_[name].astype(np.float64) for name in NAMES), strict=True)
    return np.array([_one_point(*row, bound, inverse) for row in rows]).T


def _one_point(x, widths, heights, derivatives, bound, inverse):  # type: ignore[no-untyped-def]
    if abs(x) > bound:
        return x, 0.0
    xs, ys = knots(widths, bound), knots(heights, bound)
    ds = np.concatenate([[1], 1e-2 + np.log1p(np.exp(derivatives)), [1]])
    k = min(np.searchsorted((ys if inverse else xs)[1:], x, side="right"), len(widths) - 1)
    height, d0, d1 = ys[k + 1] - ys[k], ds[k], ds[k + 1]
    s = height / (xs[k + 1] - xs[k])
    if inverse:
        up, bend = x - ys[k], d1 + d0 - 2 * s
        a, b, c = height * (s - d0) + up * bend, height * d0 - up * bend, -s * up
        xi = 2 * c / (-b - np.sqrt(b * b - 4 * a * c))
    else:
        xi = (x - xs[k]) / (xs[k + 1] - xs[k])
    mix = xi * (1 - xi)
    below = s + (d1 + d0 - 2 * s) * mix
    slope = s * s * (d1 * xi**2 + 2 * s * mix + d0 * (1 - xi) ** 2) / below**2
    if inverse:
        return xs[k] + xi * (xs[k + 1] - xs[k]), -np.log(slope)
    return ys[k] + height * (s * xi**2 + d0 * mix) / below, np.log(slope)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("bins", [2, 3, 8, 11, 64])
def test_it_is_the_paper_s_spline(bins: int, inverse: bool) -> None:
    x = np.random.default_rng(bins).uniform(-3.5, 3.5, 500).astype(np.float32)
    given_ = inputs(x, bins)
    (y, log), (exact, exact_log) = call(given_, inverse=inverse), paper(given_, 3.0, inverse)
    assert (np.abs(y - exact) / (1 + np.exp(exact_log))).max() <= 2e-6
    assert np.abs(log - exact_log).max() <= 1e-3


@pytest.mark.parametrize("bound", [0.25, 1.0, 50.0])
def test_other_bounds(bound: float) -> None:
    given_ = inputs(np.linspace(-1.2 * bound, 1.2 * bound, 300), size=0.5)
    y, log = call(given_, tail_bound=bound)
    exact, exact_log = paper(given_, bound, False)
    assert (np.abs(y - exact) / (1 + np.exp(exact_log))).max() <= 2e-6 * bound
    assert np.abs(log - exact_log).max() <= 1e-3


def test_there_and_back() -> None:
    """The way back loses what float32 rounds off y, times how steep it is."""
    given_ = inputs(np.random.default_rng(1).uniform(-4, 4, 20000))
    y, log = call(given_)
    back, log_back = call({**given_, "x": y}, inverse=True)
    assert np.abs(back - given_["x"]).max() <= 3e-4
    assert np.median(np.abs(back - given_["x"])) <= 5e-7
    assert np.median(np.abs(log + log_back)) <= 2e-6


@pytest.mark.parametrize("inverse", [False, True])
def test_the_logarithm_is_that_of_autograd_s_slope(inverse: bool) -> None:
    given_ = inputs(np.random.default_rng(2).uniform(-3, 3, 400))
    x, *raw = (torch.from_numpy(given_[name]).double() for name in NAMES)
    options = {**ATTRIBUTES, "inverse": inverse}
    y = rational_quadratic_spline.reference(x.requires_grad_(), *raw, **options)[0]
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert np.abs(call(given_, inverse=inverse)[1] - slope.log().numpy()).max() <= 1e-3


@given(st.integers(2, 64), st.integers(0, 2**32), st.floats(0, 30), st.booleans())
@settings(max_examples=40, deadline=None)
def test_curves_rise_from_bound_to_bound(bins: int, seed: int, size: float, inverse: bool) -> None:
    """However wild the parameters are. Float32 may round neighbours to the same number, or one."""
    x = np.linspace(-3, 3, 257, dtype=np.float32)
    row = inputs(x[:1], bins, size, seed)
    every = {k: np.repeat(v, len(x), 0) for k, v in row.items()} | {"x": x}
    y, log = call(every, inverse=inverse)
    assert np.diff(y).min() >= -2e-6
    assert abs(y[0] + 3) <= 1e-6
    assert abs(y[-1] - 3) <= 1e-6
    assert np.abs(y).max() <= 3 + 1e-6
    assert np.isfinite(log).all()


@given(arrays(np.float32, 19, elements=st.floats(width=32)), st.booleans())
@settings(max_examples=40, deadline=None)
def test_beyond_the_bounds_nothing_changes(x: np.ndarray, inverse: bool) -> None:
    y, log = call(inputs(x), inverse=inverse)
    outside = ~(np.abs(x) <= 3)
    assert np.array_equal(y[outside], x[outside], equal_nan=True)
    assert np.array_equal(log[outside], np.where(np.isnan(x), x, 0)[outside], equal_nan=True)
    assert (np.abs(y[~outside]) <= 3 + 1e-6).all()


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("which", ["widths", "heights", "derivatives"])
def test_nan_parameters_are_lost_points(which: str, inverse: bool) -> None:
    given_ = inputs(np.float32([-2.9, 0.1, 2.9, 5.0, 0.2]), bins=3)
    whole = call(given_, inverse=inverse)
    given_[which][[0, 2, 3]] = np.nan
    found = call(given_, inverse=inverse)
    assert np.isnan(found).tolist() == [[True, False, True, False, False]] * 2
    assert np.array_equal(found[:, [1, 3, 4]], whole[:, [1, 3, 4]])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 5)])
def test_no_points(shape: tuple[int, ...]) -> None:
    assert call(inputs(np.zeros(shape))).shape == (2, *shape)


GOOD = {"x": (5,), "widths": (5, 8), "heights": (5, 8), "derivatives": (5, 7)}
REFUSED: list[tuple[dict[str, tuple[int, ...]], dict[str, float], str]] = [
    ({"widths": (8,)}, {}, "widths: rank 1; pass 2, the shape of x"),
    ({"heights": (4, 8)}, {}, "heights: dimension 0 is 4; pass 5 as for x"),
    ({"heights": (5, 7)}, {}, "heights: 7 values a point; pass 8"),
    ({"derivatives": (5, 8)}, {}, "derivatives: 8 values a point; pass 7"),
    ({"widths": (5, 1)}, {}, "widths: 1 bins; pass 2 to 64"),
    ({"widths": (5, 65)}, {}, "widths: 65 bins; pass 2 to 64"),
    ({}, {"tail_bound": 0.0}, "tail_bound: 0; pass more than 0"),
    ({}, {"tail_bound": float("inf")}, "tail_bound: inf; pass"),
    ({}, {"min_derivative": 0.0}, "min_derivative: 0; pass more than 0"),
    ({}, {"min_derivative": float("nan")}, "min_derivative: -?nan; pass"),
    ({}, {"min_bin_width": 1e-5}, "min_bin_width: 1e-05; pass 1e-4 to less than 1 / 8"),
    ({}, {"min_bin_width": 0.125}, "min_bin_width: 0.125; pass 1e-4 to less than 1 / 8"),
    ({}, {"min_bin_height": float("nan")}, "min_bin_height: -?nan; pass 1e-4"),
]


@pytest.mark.parametrize(("shapes", "changed", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(
    shapes: dict[str, tuple[int, ...]], changed: dict[str, float], message: str
) -> None:
    zeros = {name: np.zeros(shape, np.float32) for name, shape in {**GOOD, **shapes}.items()}
    with pytest.raises(NativeError, match=f"RationalQuadraticSpline: {message}"):
        native.run_op("RationalQuadraticSpline", zeros, {**ATTRIBUTES, **changed})


@pytest.mark.parametrize("inverse", [False, True])
def test_gradients_are_those_of_finite_differences(inverse: bool) -> None:
    torch.manual_seed(0)
    x = torch.tensor([-2.5, -0.3, 1.1, 3.5], dtype=torch.double)
    raw = [torch.randn(4, k, dtype=torch.double) for k in (4, 4, 3)]
    given_ = tuple(t.requires_grad_() for t in (x, *raw))

    def curve(*tensors: Tensor) -> Tensor:
        return rational_quadratic_spline.call(*tensors, **{**ATTRIBUTES, "inverse": inverse})

    assert gradcheck(curve, given_)
    assert gradgradcheck(curve, given_)


def test_gradients_are_finite_at_knots_bounds_and_beyond() -> None:
    x = torch.tensor([-3.0, 0.0, 3.0, 7.0], requires_grad=True)
    raw = [torch.zeros(4, k, requires_grad=True) for k in (8, 8, 7)]
    for inverse in (False, True):
        y = rational_quadratic_spline.call(x, *raw, **{**ATTRIBUTES, "inverse": inverse})
        assert all(g.isfinite().all() for g in torch.autograd.grad(y.sum(), [x, *raw]))


def coupling(features: int = 2) -> SplineCoupling:
    torch.manual_seed(1)
    moving = features // 2
    net = nn.Sequential(
        nn.Linear(features - moving, 16), nn.ReLU(), nn.Linear(16, moving * (3 * 5 - 1))
    )
    return SplineCoupling(features, net, bins=5, bound=2.0)


@pytest.mark.parametrize("features", [2, 5])
def test_a_coupling_layer_is_its_own_way_back(features: int) -> None:
    layer, x = coupling(features), torch.randn(50, features)
    with torch.no_grad():
        y, log = layer(x)
        back, log_back = layer.inverse(y)
        assert (back - x).abs().max() <= 1e-5
        assert (log + log_back).abs().max() <= 1e-4
        assert torch.equal(y[:, features // 2 :], x[:, : features - features // 2])


def test_the_determinant_is_that_of_autograd_s_jacobian() -> None:
    layer, x = coupling(5), torch.randn(5)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v)[0], x)
    with torch.no_grad():
        assert abs(layer(x)[1] - jacobian.det().abs().log()) <= 1e-5


@pytest.mark.parametrize(
    "wrong", [{"features": 1}, {"bins": 1}, {"bins": 65}, {"bound": 0.0}, {"bound": float("nan")}]
)
def test_a_layer_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pass at least 2 features, 2 to 64 bins and a bound"):
        SplineCoupling(**{"features": 2, "conditioner": nn.Identity(), **wrong})


class BothWays(nn.Module):
    """y, its log-determinant, and x again."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = coupling(3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y, log = self.layer(x)
        return y, log, self.layer.inverse(y)[0]


def off(found: list[np.ndarray], module: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        pairs = zip(found, module(x), strict=True)
    return max(relative_error(f, w.numpy()) for f, w in pairs)


def test_onnx_with_kernels_and_without(tmp_path: Path) -> None:
    module, x = BothWays().eval(), torch.randn(3, 3)
    batch = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=batch)
    more = torch.randn(40, 3) * 2
    for kernels in ("require", "off"):
        session = Session(tmp_path / "m.onnx", threads=1, native=kernels)
        assert off(session.run(more.numpy()), module, more) <= 1e-5
        lost = session.run(np.float32([[0, 0, np.nan], [0, 0, 0]]))
        assert np.isnan(lost[1]).tolist() == [True, False]


def test_litert(tmp_path: Path) -> None:
    module, x = BothWays().eval(), torch.randn(9, 3)
    export_tflite(module, (x,), tmp_path / "m.tflite")
    found = Session(tmp_path / "m.tflite", threads=2, native="require").run(x.numpy())
    assert off(found, module, x) <= 1e-5
