"""GridSample, Resize and IRFFT: what has to hold whatever the sizes."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import everywhere, reference

from smalti.runtime.ops.case import Case, normal

SIZES = st.integers(1, 9)
MODES = st.integers(0, 2)
SEEDS = st.integers(0, 2**32)
PADDING_AND_ALIGN = [(padding, align) for padding in range(3) for align in (0, 1)]


def sampling(x: np.ndarray, grid: np.ndarray, mode: int, padding: int, align: int) -> Case:
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": align}
    return Case("", {"x": x, "grid": grid}, {**attributes, "channels_last": 0})


def channels_last(case: Case) -> Case:
    x = np.ascontiguousarray(np.moveaxis(case.inputs["x"], 1, -1))
    return Case("", {**case.inputs, "x": x}, {**case.attributes, "channels_last": 1})


def run(op: str, case: Case) -> np.ndarray:
    """Of portable, once all the others are seen to be equal, and those of the other layout."""
    (_, _, first), *others = everywhere(op, case)
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    if "channels_last" in case.attributes:
        for _, _, found in everywhere(op, channels_last(case)):
            assert np.array_equal(np.moveaxis(found, -1, 1), first, equal_nan=True)
    return first


def resize(x: np.ndarray, sizes: list[int], align: int, mode: int = 2) -> np.ndarray:
    attributes = {"sizes": sizes, "mode": mode, "align_corners": align, "channels_last": 0}
    return run("Resize", Case("", {"x": x}, attributes))


def irfft(x: np.ndarray, n: int) -> np.ndarray:
    return run("IRFFT", Case("", {"x": x}, {"n": n}))


def centers(size: int, align: int) -> np.ndarray:
    """Coordinates of an axis's pixels."""
    pixels = np.arange(size)
    return (2 * pixels / max(size - 1, 1) if align else (2 * pixels + 1) / size) - 1


@given(SIZES, SIZES, MODES, st.sampled_from(PADDING_AND_ALIGN), SEEDS)
@settings(max_examples=60)
def test_the_identity_grid_returns_the_image(
    height: int, width: int, mode: int, rule: tuple[int, int], seed: int
) -> None:
    padding, align = rule
    x = normal(np.random.default_rng(seed), 1, 2, height, width)
    axes = np.meshgrid(centers(width, align), centers(height, align))
    found = run("GridSample", sampling(x, np.float32([np.stack(axes, -1)]), mode, padding, align))
    # a coordinate rounds by 6e-8 of the axis, and values change by about 4 in a pixel
    assert np.abs(found - x).max() <= (0 if mode == 1 else 1e-5)


@given(
    MODES,
    st.sampled_from(PADDING_AND_ALIGN),
    st.tuples(SIZES, SIZES),
    arrays(np.float32, (1, 4, 9, 2), elements=st.floats(width=32)),
)
@example(2, (2, 0), (1, 1), np.full((1, 4, 9, 2), np.inf, np.float32))
@example(2, (2, 1), (1, 7), np.full((1, 4, 9, 2), -np.inf, np.float32))
@example(0, (2, 1), (1, 1), np.full((1, 4, 9, 2), 1e30, np.float32))
@example(0, (1, 1), (9, 9), np.full((1, 4, 9, 2), -3.4e38, np.float32))
@settings(max_examples=200)
def test_any_coordinate_gives_nan_or_values_of_the_image(
    mode: int, rule: tuple[int, int], size: tuple[int, int], grid: np.ndarray
) -> None:
    x = normal(np.random.default_rng(1), 1, 2, *size)
    found = run("GridSample", sampling(x, grid, mode, *rule))
    lost = np.broadcast_to(np.isnan(grid).any(-1)[:, None], found.shape)
    assert np.array_equal(np.isnan(found), lost)
    overshoot = 2 if mode == 2 else 1.000001  # of cubic weights: their sizes add up to 1.9
    assert (np.abs(found[~lost]) <= overshoot * np.abs(x).max()).all()


@pytest.mark.parametrize(("padding", "align"), PADDING_AND_ALIGN)
def test_kernel_and_reference_lose_the_same_points(padding: int, align: int) -> None:
    rng = np.random.default_rng(2)
    x, grid = normal(rng, 1, 2, 3, 4, 5), rng.uniform(-1, 1, (1, 2, 3, 4, 3)).astype(np.float32)
    grid[0, 0, 0, 1, 0] = grid[0, 1, 2, 3, 2] = np.nan
    for mode in (0, 1):
        case = sampling(x, grid, mode, padding, bool(align))
        found, wanted = run("GridSample", case), reference("GridSample", case)
        assert np.isnan(found).sum() == 4
        assert np.allclose(found, wanted, rtol=0, atol=1e-6, equal_nan=True)


def test_pixels_that_no_point_touches_are_not_read() -> None:
    x = np.full((1, 1, 4, 4), np.nan, np.float32)
    x[0, 0, 2, 2] = 5
    grid = np.float32([[[[0.25, 0.25], [7, 0], [0, -7]]]])
    found = run("GridSample", sampling(x, grid, 1, 0, 0))
    assert found.ravel().tolist() == [5, 0, 0]


@given(SIZES, SIZES, SIZES, st.integers(0, 1), st.sampled_from([0, 2]), SEEDS)
@settings(max_examples=40)
def test_the_same_size_is_the_same_image(
    height: int, width: int, channels: int, align: int, mode: int, seed: int
) -> None:
    x = normal(np.random.default_rng(seed), 2, channels, height, width)
    assert np.array_equal(resize(x, [height, width], align, mode), x)


@given(
    *(SIZES, SIZES, st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 1),
    st.sampled_from([0, 2]),
)
@settings(max_examples=60)
def test_rows_and_columns_resize_apart(
    h: int, w: int, out_h: int, out_w: int, align: int, mode: int
) -> None:
    x = normal(np.random.default_rng(h * 10 + w), 1, 2, h, w)
    found = resize(x, [out_h, out_w], align, mode)
    apart = resize(resize(x, [h, out_w], align, mode), [out_h, out_w], align, mode)
    assert np.allclose(found, apart, atol=4e-6)
    turned = resize(x.swapaxes(2, 3), [out_w, out_h], align, mode).swapaxes(2, 3)
    assert np.allclose(found, turned, atol=4e-6)


def test_not_finite_pixels_stay_in_their_image() -> None:
    x = normal(np.random.default_rng(3), 2, 2, 4, 4)
    x[1, 0, 2, 2] = np.nan
    lost = np.isnan(resize(x, [9, 9], 0)).any((2, 3))
    assert lost.tolist() == [[False, False], [True, False]]


@given(st.integers(1, 700), SEEDS)
@settings(max_examples=60)
def test_signals_survive_there_and_back(n: int, seed: int) -> None:
    signal = normal(np.random.default_rng(seed), 2, n)
    bins = np.fft.rfft(signal.astype(np.float64))
    found = irfft(np.stack([bins.real, bins.imag], -1).astype(np.float32), n)
    assert np.abs(found - signal).max() <= 1e-6 * max(np.abs(signal).max(), 1)


@pytest.mark.parametrize("n", [1, 2, 7, 12, 97])
def test_imaginary_parts_that_a_real_signal_lacks_are_ignored(n: int) -> None:
    x = normal(np.random.default_rng(n), 3, n // 2 + 1, 2)
    other = x.copy()
    other[:, 0, 1] = np.nan
    if n % 2 == 0:
        other[:, -1, 1] = np.inf
    assert irfft(other, n).tobytes() == irfft(x, n).tobytes()


def test_not_finite_bins_stay_in_their_row() -> None:
    x = normal(np.random.default_rng(4), 5, 49, 2)
    x[2, 30, 0] = np.nan
    found = irfft(x, 96)
    assert np.isnan(found).all(-1).tolist() == [False, False, True, False, False]
    assert np.isfinite(np.delete(found, 2, 0)).all()


def test_empty_batches_are_empty() -> None:  # Torch refuses some of them
    assert irfft(np.zeros((0, 5, 2), np.float32), 8).shape == (0, 8)
    assert resize(np.zeros((2, 0, 4, 4), np.float32), [8, 8], 0).shape == (2, 0, 8, 8)
