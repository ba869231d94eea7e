"""RFFT and IRFFT beside numpy's transforms in double, and what has to hold for all signals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from smalti.export import export_onnx
from smalti.export.verify import relative_error
from smalti.runtime import Session, native
from smalti.runtime.ops.case import normal
from smalti.runtime.ops.irfft.op import irfft
from smalti.runtime.ops.rfft.op import rfft

LENGTHS = st.integers(1, 1300)
SEEDS = st.integers(0, 2**32 - 1)


def forward(x, modes=None):
    return native.run_op("RFFT", [x], {"modes": x.shape[-1] // 2 + 1 if modes is None else modes})


def peer(x, modes=None):
    bins = np.fft.rfft(x.astype(np.float64))[..., :modes]
    return np.stack([bins.real, bins.imag], -1)


@given(LENGTHS, st.integers(1, 6), SEEDS)
@settings(max_examples=150)
def test_every_bin_is_off_by_one_rounding(n, rows, seed):
    x = normal(np.random.default_rng(seed), rows, n)
    wanted, found = peer(x), forward(x)
    assert (np.abs(found - wanted) <= 6e-8 * np.abs(wanted) + 1e-14 * np.abs(wanted).max()).all()


@pytest.mark.parametrize("n", [9973, 2 * 9973, 61 * 67, 3**8, 2**16, 30030])
def test_long_signals(n):
    x = normal(np.random.default_rng(n), 2, n)
    assert np.abs(forward(x) - peer(x)).max() <= 6e-8 * np.abs(peer(x)).max()


@given(LENGTHS, SEEDS)
@settings(max_examples=60)
def test_there_and_back(n, seed):
    x = normal(np.random.default_rng(seed), 2, n)
    found = native.run_op("IRFFT", [forward(x)], {"n": n})
    assert np.linalg.norm(found - x) <= 1e-7 * np.linalg.norm(x) + 1e-30


@given(LENGTHS, SEEDS, st.integers(1, 651))
@settings(max_examples=60)
def test_the_first_modes_are_those_of_all(n, seed, modes):
    modes = min(modes, n // 2 + 1)
    x = normal(np.random.default_rng(seed), 3, n)
    assert np.array_equal(forward(x, modes), forward(x)[:, :modes])


@pytest.mark.parametrize("n", [96, 97, 134])
def test_rows_are_alone(n):  # abreast or not
    x = (
        normal(np.random.default_rng(n), 7, n)
        * np.float32([1e-30, 1, 1e30, 1, 1, 1e-10, 1])[:, None]
    )
    each = np.concatenate([forward(row[None]) for row in x])
    assert forward(x).tobytes() == each.tobytes()
    x[2, 5] = np.nan
    x[3, 0] = np.inf
    found = forward(x)
    assert np.isnan(found[2]).all()
    assert not np.isfinite(found[3]).any()
    rest = [0, 1, 4, 5, 6]
    assert found[rest].tobytes() == each[rest].tobytes()


@pytest.mark.parametrize("n", [1, 2, 6, 15, 336, 1009])
def test_waves_have_one_bin(n):
    for k in {0, 1 % (n // 2 + 1), n // 2}:
        wave = np.cos(2 * np.pi * k * np.arange(n) / n).astype(np.float32)
        size = n if k == 0 or 2 * k == n else n / 2
        wanted = np.zeros((n // 2 + 1, 2))
        wanted[k, 0] = size
        assert np.abs(forward(wave) - wanted).max() <= 1e-6 * n


def test_energy_is_kept():  # Parseval
    x = normal(np.random.default_rng(1), 720)
    power = np.square(forward(x).astype(np.float64)).sum(-1)
    power[1:-1] *= 2
    assert power.sum() / 720 == pytest.approx(np.square(x.astype(np.float64)).sum(), rel=1e-7)


def test_empty_batches_are_empty():
    assert forward(np.zeros((0, 8), np.float32)).shape == (0, 5, 2)
    assert forward(np.zeros((3, 0, 7), np.float32)).shape == (3, 0, 4, 2)


@pytest.mark.parametrize(
    ("shape", "modes", "message"),
    [
        ((3, 8), 6, "modes: 6; signals of length 8 have 5 bins"),
        ((3, 7), 5, "modes: 5; signals of length 7 have 4 bins"),
        ((3, 8), 0, "modes: 0; pass 1 to"),
        ((3, 8), -1, "modes: -1; pass 1 to"),
        ((3, 0), 1, "x: signals of length 0; pass 1 to"),
        ((), 1, r"x: rank 0; pass \(..., n\) of rank 1 to"),
        ((1,) * 8, 1, "x: rank 8; pass"),
    ],
)
def test_what_is_refused(shape, modes, message):
    with pytest.raises(Exception, match=message):
        forward(np.zeros(shape, np.float32), modes)


def test_gradients():
    x = torch.randn(2, 9, dtype=torch.double, requires_grad=True)
    assert gradcheck(lambda t: rfft.call(t, 4), (x,))
    bins = torch.randn(2, 5, 2, dtype=torch.double, requires_grad=True)
    assert gradcheck(lambda t: irfft.call(t, 9), (bins,))


class Filter(torch.nn.Module):
    def forward(self, x):
        bins = rfft.call(x, 60)
        return irfft.call(torch.nn.functional.pad(bins, (0, 0, 0, 109)), 336)


def test_files_run_with_the_kernels_and_without(tmp_path):
    x = torch.randn(5, 336)
    dynamic = ({0: torch.export.Dim("batch")},)
    export_onnx(Filter(), (x,), tmp_path / "m.onnx", dynamic_shapes=dynamic)
    bins = np.fft.rfft(x.numpy().astype(np.float64))
    bins[:, 60:] = 0
    wanted = np.fft.irfft(bins, 336)
    for mode in ("require", "off"):
        (found,) = Session(tmp_path / "m.onnx", threads=2, native=mode).run(x.numpy())
        assert relative_error(found, wanted) < 1e-7, mode
