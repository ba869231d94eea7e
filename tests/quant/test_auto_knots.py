"""auto_knots: functions become splines of the error that was asked for, or are refused."""

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

from smalti.quant.auto_knots import ToleranceError, auto_knots, spline_error, tabulate_


def gelu(x):
    return x * special.ndtr(x)


def snake(x):
    return x + np.sin(5 * x) ** 2 / 5


def log_bessel(x):
    return np.log(special.ive(2.5, x)) + x


def lennard_jones(r):
    return 4 * (r**-12 - r**-6)


def step(x):
    return (x > 0.3) * 1.0


CASES = [  # function, range, tolerance, intervals at most, uniform or not
    (np.sin, (0, 6.3), 1e-6, 50, True),
    (gelu, (-6, 6), 1e-5, 60, True),
    (snake, (-4, 4), 1e-5, 180, True),
    (log_bessel, (0.01, 30), 1e-4, 60, False),
    (lennard_jones, (0.85, 3), 1e-4, 40, False),
    (np.abs, (-1, 1), 1e-6, 2, True),
    (np.abs, (-1.3, 1), 1e-5, 40, False),
]


@pytest.mark.parametrize(("function", "ends", "tolerance", "intervals", "uniform"), CASES)
def test_it_keeps_the_tolerance_with_few_intervals(function, ends, tolerance, intervals, uniform):
    spline = auto_knots(function, *ends, tolerance)
    x = np.linspace(*ends, 20_011, dtype=np.float32)
    found = spline(torch.from_numpy(x)).detach().numpy()
    assert np.abs(found - function(x.astype(np.float64))).max() <= tolerance
    assert spline.intervals <= intervals
    assert (spline.knots is None) == uniform


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_higher_degrees_take_fewer_intervals(degree):
    spline = auto_knots(np.sin, 0, 6, 1e-5, degree=degree)
    assert spline.coefficients.shape[-1] == degree + 1
    limit = {1: 900, 2: 130, 3: 35, 4: 16, 5: 10}[degree]
    assert limit / 3 < spline.intervals <= limit
    assert spline_error(spline, np.sin, np.linspace(0, 6, 100)) <= 1e-5


def test_adaptive_knots_are_fewer_where_the_function_asks_for_them():
    spline = auto_knots(lennard_jones, 0.7, 10, 1e-3)
    widths = np.diff(spline.knots[0].numpy())
    assert widths.max() > 50 * widths.min()
    assert widths.argmin() < len(widths) // 4


def test_a_jump_is_refused_and_named():
    with pytest.raises(ToleranceError, match=r"step: an error of 0\.\d+ near 0\.3 .*both sides"):
        auto_knots(step, -1, 1, 1e-2)


def test_what_float32_cannot_have_is_refused():
    with pytest.raises(ToleranceError, match="sin: float32 leaves an error of .*; pass a greater"):
        auto_knots(np.sin, 0, 1000, 1e-7)


def test_a_pole_is_refused_and_named():
    with (
        pytest.raises(ToleranceError, match="log: not finite at 0; narrow"),
        np.errstate(all="ignore"),
    ):
        auto_knots(np.log, 0, 1, 1e-3)


@pytest.mark.parametrize("wrong", [{"low": 1.0}, {"tolerance": 0.0}, {"degree": 0}, {"degree": 6}])
def test_other_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="pass low < high"):
        auto_knots(np.sin, **{"low": 0.0, "high": 1.0, "tolerance": 1e-3, **wrong})


def test_activations_become_splines():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Sequential(nn.Linear(16, 4), nn.SiLU()))
    x = torch.randn(100, 8)
    wanted = module(x)
    splines = tabulate_(module, {"1": (-6, 6), "2.1": (-6, 6)}, 1e-5)
    assert list(splines) == ["1", "2.1"]
    assert module[1] is splines["1"]
    assert module[2][1] is splines["2.1"]
    assert 0 < (module(x) - wanted).abs().max() <= 1e-4


def test_beyond_its_range_an_activation_goes_on_as_a_line():
    module = nn.Sequential(nn.GELU())
    tabulate_(module, {"0": (-5, 5)}, 1e-4)
    assert torch.allclose(module(torch.tensor([-50.0, 50.0])), torch.tensor([0.0, 50.0]), atol=0.05)


def test_nothing_is_replaced_when_one_of_them_cannot_be():
    module = nn.Sequential(nn.GELU(), nn.Threshold(0.1, 20.0))
    with pytest.raises(ToleranceError, match="1: an error"):
        tabulate_(module, {"0": (-5, 5), "1": (-1, 1)}, 1e-4)
    assert isinstance(module[0], nn.GELU)
