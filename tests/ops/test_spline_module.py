"""Spline: from SciPy and from what describes a spline, and exported to both engines."""

import numpy as np
import pytest
import torch
from scipy import interpolate
from torch import nn

from smalti.export import export_onnx, export_tflite
from smalti.runtime import Session
from smalti.runtime.ops.spline_eval.module import Spline

RNG = np.random.default_rng(0)
KNOTS = np.cumsum(RNG.uniform(0.3, 1.0, 12))
VALUES, SLOPES = np.sin(KNOTS), np.cos(KNOTS)
X = np.linspace(KNOTS[0], KNOTS[-1], 500)[1:-1]


def error(spline, wanted, x=X):
    with torch.no_grad():
        found = spline(torch.from_numpy(np.float32(x))).double().numpy()
    return np.abs(found - wanted(np.float32(x).astype(np.float64))).max()


CLOSE = 3e-6  # of values about 1


def rounding(spline, order=0):
    """What float32 leaves: 3e-7 of the largest sum of a polynomial's terms without their signs."""
    terms = spline.coefficients.detach()[0].abs().double()
    widths = spline.knots[0].diff().double()[:, None]
    powers = torch.arange(terms.shape[1])
    for k in range(order):
        terms = terms * (powers - k).clamp(min=0)
    return 3e-7 * (terms * widths ** (powers - order).clamp(min=0)).sum(1).max().item() + 1e-7


@pytest.mark.parametrize(
    "peer",
    [
        interpolate.CubicSpline(KNOTS, VALUES),
        interpolate.CubicSpline(KNOTS, VALUES, bc_type="natural"),
        interpolate.PchipInterpolator(KNOTS, VALUES),
        interpolate.Akima1DInterpolator(KNOTS, VALUES),
        interpolate.CubicHermiteSpline(KNOTS, VALUES, SLOPES),
        interpolate.PPoly(RNG.standard_normal((3, 11)), KNOTS),
        interpolate.BPoly(RNG.standard_normal((6, 11)), KNOTS),
        *(interpolate.make_interp_spline(KNOTS, VALUES, k=k) for k in (1, 3, 5)),
    ],
    ids=lambda peer: type(peer).__name__,
)
def test_what_scipy_has(peer):
    spline = Spline.from_scipy(peer)
    assert error(spline, peer) <= rounding(spline)
    assert error(spline.derivative(), peer.derivative()) <= rounding(spline, 1)


def test_scipy_s_curves_become_channels():
    peer = interpolate.CubicSpline(KNOTS, np.stack([VALUES, SLOPES, VALUES**2], 1))
    spline = Spline.from_scipy(peer)
    found = spline(torch.from_numpy(np.float32(X))[:, None].expand(-1, 3))
    assert np.abs(found.detach().numpy() - peer(X)).max() <= CLOSE


def test_lines():
    assert error(Spline.linear(KNOTS, VALUES), lambda x: np.interp(x, KNOTS, VALUES)) <= CLOSE


def test_hermite():
    peer = interpolate.CubicHermiteSpline(KNOTS, VALUES, SLOPES)
    assert error(Spline.hermite(KNOTS, VALUES, SLOPES), peer) <= CLOSE


@pytest.mark.parametrize("count", [2, 3, 12])
@pytest.mark.parametrize("ends", [None, (0.5, -2.0)])
def test_smooth_cubics(ends, count):
    knots, values = KNOTS[:count], VALUES[:count]
    rule = "natural" if ends is None else ((1, ends[0]), (1, ends[1]))
    peer = interpolate.CubicSpline(knots, values, bc_type=rule)
    x = X[knots[-1] > X]
    assert error(Spline.cubic(knots, values, ends), peer, x) <= CLOSE


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_bezier(degree):
    control = RNG.standard_normal((11, degree + 1))
    spline = Spline.bezier(KNOTS, control)
    assert error(spline, interpolate.BPoly(control.T, KNOTS)) <= rounding(spline)


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4, 5])
def test_uniform_b_splines(degree):
    control = RNG.standard_normal((2, 9 + degree))
    spline = Spline.b_spline(control, degree, -1.5, 0.25)
    assert spline.knots is None
    knots = -1.5 + 0.25 * np.arange(-degree, 10 + degree)
    peer = interpolate.BSpline(knots, control.T, degree)
    x = np.linspace(-1.5, 0.75, 98)[1:-1]
    found = spline(torch.from_numpy(np.float32(x))[:, None].expand(-1, 2)).detach()
    assert np.abs(found.numpy() - peer(np.float32(x).astype(np.float64))).max() <= CLOSE


def test_knots_that_are_uniform_are_two_numbers():
    assert Spline(np.zeros((1000, 4)), np.linspace(-3, 5, 1001)).knots is None
    assert Spline(np.zeros((3, 4)), [0, 1, 2.01, 3]).knots is not None
    assert Spline(np.zeros((2, 4)), [1000, 1000.001, 1000.01]).knots is not None


def test_it_learns():
    torch.manual_seed(0)
    spline = Spline(np.zeros((8, 4)), np.linspace(-1, 1, 9))
    x = torch.linspace(-1, 1, 200)
    optimizer = torch.optim.LBFGS(spline.parameters(), max_iter=60)

    def loss():
        optimizer.zero_grad()
        off = (spline(x) - torch.sin(3 * x)).square().mean()
        off.backward()
        return off

    optimizer.step(loss)
    assert loss().item() < 1e-6


@pytest.mark.parametrize(
    ("table", "knots", "options", "message"),
    [
        ((4, 7), 5, {}, "coefficients: .*; pass .channels, intervals"),
        ((4,), 5, {}, "coefficients: .*; pass .channels"),
        ((4, 4), 4, {}, "knots: .4,.; pass 5"),
        ((4, 4), 5, {"extrapolate": "line"}, "extrapolate: 'line'; pass clamp, linear"),
    ],
)
def test_what_does_not_fit_is_refused(table, knots, options, message):
    with pytest.raises(ValueError, match=message):
        Spline(np.zeros(table), np.arange(knots), **options)


def test_knots_have_to_ascend_and_derivatives_end():
    with pytest.raises(ValueError, match="knots: do not ascend; sort them"):
        Spline(np.zeros((2, 4)), [0, 1, 1])
    twice = Spline(np.zeros((2, 4)), [0, 1, 2]).derivative().derivative()
    with pytest.raises(ValueError, match="derivative: of the second one"):
        twice.derivative()


class Curves(nn.Module):
    """Every kind of knots and sharing."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(1)
        self.own = Spline(rng.standard_normal((4, 5, 4)), np.arange(6) - 2, extrapolate="linear")
        self.shared = Spline.cubic(KNOTS[:5], VALUES[:5], extrapolate="periodic")
        self.single = Spline(rng.standard_normal((1, 3)), [-1, 1.7], extrapolate="zero")

    def forward(self, x):
        return self.own(x) + self.own.derivative()(x), self.shared(x) - self.single(x)


def off(found, module, x):
    with torch.no_grad():
        return max(np.abs(f - w.numpy()).max() for f, w in zip(found, module(x), strict=True))


def test_onnx_with_kernels_and_without(tmp_path):
    module, x = Curves(), torch.randn(3, 4) * 3
    batch = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=batch)
    more = torch.cat([x, x * 2, torch.full((1, 4), float("nan"))])
    for kernels in ("require", "off"):
        found = Session(tmp_path / "m.onnx", threads=1, native=kernels).run(more.numpy())
        assert np.isnan(found[0][-1]).all()
        assert np.isnan(found[1][-1]).all()
        assert off([f[:-1] for f in found], module, more[:-1]) <= 1e-5


def test_litert(tmp_path):
    module, x = Curves(), torch.randn(3, 4) * 3
    export_tflite(module, (x,), tmp_path / "m.tflite")
    assert off(Session(tmp_path / "m.tflite", threads=2).run(x.numpy()), module, x) <= 1e-5
