"""BilateralSlice beside GridSample and a product of matrices, and what has to hold always."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import everywhere, reference
from torch.autograd import gradcheck
from torch.nn import functional as F

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.runtime import Session, native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.bilateral_slice.module import BilateralGrid, total_variation
from smalti.runtime.ops.bilateral_slice.op import bilateral_slice
from smalti.runtime.ops.case import Case, normal

PLAIN = np.float32([[1] * 12, [0] * 12])
IDENTITY = np.float32([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0])[None, :, None, None, None]
ALIGN = pytest.mark.parametrize("align", [0, 1], ids=["edges", "align"])


def call(
    grid: np.ndarray, image: np.ndarray, align: int, guide: np.ndarray | None = None
) -> np.ndarray:
    """Of portable, once all the others are seen to be equal."""
    inputs = {"grid": grid, "image": image, "scales": PLAIN}
    if guide is not None:
        inputs["guide"] = guide
    case = Case("", inputs, {"align_corners": align})
    (_, _, first), *others = everywhere("BilateralSlice", case)
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    return first


def photo(*size: int) -> np.ndarray:
    return np.random.default_rng(3).random((1, 3, *size), np.float32)


def unfused(grid: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Sample all coefficients at (2u - 1, 2v - 1, 2g - 1), then apply them pixel by pixel."""
    height, width = image.shape[2:]
    u, v = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    gray = np.tensordot([0.299, 0.587, 0.114], image[0].astype(float), 1)
    points = torch.from_numpy(np.stack([2 * u - 1, 2 * v - 1, 2 * gray - 1], -1)[None, None])
    coefficients = torch.from_numpy(grid).double()
    found = F.grid_sample(coefficients, points, padding_mode="border", align_corners=True)
    matrices = found[0, :, 0].reshape(3, 4, height, width).numpy()
    ones = np.concatenate([image[0], np.ones_like(image[0, :1])])
    return np.einsum("rchw,chw->rhw", matrices, ones)[None]


def tents(grid: np.ndarray, image: np.ndarray) -> np.ndarray:
    """HDRNet's sum: max(0, 1 - distance) to every cell's center, those at the edges repeated."""
    height, width = image.shape[2:]
    gray = np.tensordot([0.299, 0.587, 0.114], image[0].astype(float), 1)
    depth, rows, columns = grid.shape[2:]

    def weights(places: np.ndarray, cells: int) -> np.ndarray:
        beyond = np.arange(-1, cells + 1)
        tent = np.maximum(0, 1 - np.abs(places[..., None] - beyond - 0.5))
        tent[..., 1] += tent[..., 0]
        tent[..., -2] += tent[..., -1]
        return tent[..., 1:-1]

    wx = weights((np.arange(width) + 0.5) * columns / width, columns)
    wy = weights((np.arange(height) + 0.5) * rows / height, rows)
    wz = weights(gray * depth, depth)
    found = np.einsum("czyx,hwz,hy,wx->chw", grid[0].astype(float), wz, wy, wx)
    ones = np.concatenate([image[0], np.ones_like(image[0, :1])])
    return np.einsum("rchw,chw->rhw", found.reshape(3, 4, height, width), ones)[None]


@pytest.mark.parametrize("cells", [(8, 16, 16), (2, 3, 1), (1, 1, 5)])
@pytest.mark.parametrize(("align", "wanted"), [(1, unfused), (0, tents)], ids=["align", "edges"])
def test_it_is_what_the_papers_say(align: int, wanted: Any, cells: tuple[int, ...]) -> None:
    grid, image = normal(np.random.default_rng(0), 1, 12, *cells), photo(37, 150)
    assert np.abs(call(grid, image, align) - wanted(grid, image)).max() <= 1e-5


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1), st.integers(1, 4))
@settings(max_examples=30)
def test_the_identity_changes_nothing(height: int, width: int, align: int, cells: int) -> None:
    image = photo(height, width)
    found = call(np.tile(IDENTITY, (1, 1, cells, 3, 2)), image, align)
    assert np.abs(found - image).max() <= 2e-7


@given(
    st.integers(0, 1),
    arrays(np.float32, (1, 3, 9), elements=st.floats(width=32)),
    st.sampled_from([(1, 1, 1), (2, 1, 3), (8, 2, 2)]),
)
@example(0, np.full((1, 3, 9), np.inf, np.float32), (8, 2, 2))
@example(1, np.full((1, 3, 9), -np.inf, np.float32), (2, 1, 3))
@example(1, np.full((1, 3, 9), 3.4e38, np.float32), (1, 1, 1))
@settings(max_examples=100)
def test_any_guide_gives_nan_or_colours_of_the_grid(
    align: int, guide: np.ndarray, cells: tuple[int, ...]
) -> None:
    grid = normal(np.random.default_rng(1), 1, 12, *cells)
    found = call(grid, photo(3, 9), align, guide)
    lost = np.broadcast_to(np.isnan(guide)[:, None], found.shape)
    assert np.array_equal(np.isnan(found), lost)
    assert (np.abs(found[~lost]) <= 4.001 * np.abs(grid).max()).all()


@ALIGN
def test_kernel_and_reference_lose_the_same_pixels(align: int) -> None:
    """A NaN in the image its own pixel, in the grid all pixels between its neighbours' centers."""
    grid, image = normal(np.random.default_rng(1), 1, 12, 3, 4, 5), photo(11, 13)
    image[0, 1, 2, 3] = np.nan
    grid[0, 7, 2, 1, 4] = np.nan
    found = call(grid, image, align)
    case = Case("", {"grid": grid, "image": image, "scales": PLAIN}, {"align_corners": bool(align)})
    wanted = reference("BilateralSlice", case)
    assert np.array_equal(np.isnan(found), np.isnan(wanted))
    assert np.isnan(found[0, :, 2, 3]).all()
    assert 3 < np.isnan(found).sum() < found.size / 2


REFUSED: list[tuple[dict[str, tuple[int, ...]], str]] = [
    ({"grid": (12, 2, 2, 2)}, "grid: rank 4; pass .B, 12, Lz, H, W"),
    ({"grid": (2, 9, 2, 2, 2)}, "grid: dimension 1 is 9; pass 12"),
    ({"grid": (3, 12, 2, 2, 2)}, "grid: dimension 0 is 3; pass 2"),
    ({"grid": (2, 12, 2, 0, 2)}, "grid: dimension 3 is 0; pass a grid of at least one cell"),
    ({"image": (3, 4, 5)}, "image: rank 3; pass .B, 3, h, w"),
    ({"image": (2, 4, 4, 5)}, "image: dimension 1 is 4; pass 3"),
    ({"scales": (12,)}, "scales: rank 1; pass .2, 12"),
    ({"scales": (1, 12)}, "scales: dimension 0 is 1; pass 2"),
    ({"scales": (2, 1)}, "scales: dimension 1 is 1; pass 12"),
    ({"guide": (2, 1, 4, 5)}, "guide: rank 4; pass .B, h, w"),
    ({"guide": (1, 4, 5)}, "guide: dimension 0 is 1; pass 2"),
    ({"guide": (2, 5, 5)}, "guide: dimension 1 is 5; pass 4"),
    ({"guide": (2, 4, 4)}, "guide: dimension 2 is 4; pass 5"),
]
GOOD = {"grid": (2, 12, 2, 2, 2), "image": (2, 3, 4, 5), "scales": (2, 12), "guide": (2, 4, 5)}


@pytest.mark.parametrize(("shapes", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(
    shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    inputs = [np.zeros(shape, np.float32) for shape in {**GOOD, **shapes}.values()]
    with pytest.raises(NativeError, match=f"BilateralSlice: {message}"):
        native.run_op("BilateralSlice", inputs, {"align_corners": 1})


@ALIGN
def test_gradients_are_those_of_finite_differences(align: int) -> None:
    torch.manual_seed(0)
    grid = torch.randn(1, 12, 3, 2, 2, dtype=torch.double, requires_grad=True)
    image = (0.1 + 0.8 * torch.rand(2, 3, 3, 2, dtype=torch.double)).requires_grad_()
    guide = torch.rand(2, 3, 2, dtype=torch.double, requires_grad=True)
    scales = torch.from_numpy(PLAIN).double()
    slice_ = bilateral_slice.call
    assert gradcheck(lambda g, i: slice_(g, i, scales, None, bool(align)), (grid, image))
    assert gradcheck(lambda g, z: slice_(g, image, scales, z, bool(align)), (grid, guide))


def test_a_new_grid_is_the_identity_and_sizes_are_checked() -> None:
    image = torch.from_numpy(photo(6, 7))
    assert torch.allclose(BilateralGrid((2, 3, 4))(image), image, atol=3e-7)
    with pytest.raises(ValueError, match="cells: .2, 0, 4.; pass three sizes from 1"):
        BilateralGrid((2, 0, 4))


def test_variation_counts_steps_along_each_axis() -> None:
    z, y, x = torch.meshgrid(*(torch.arange(4.0) for _ in range(3)), indexing="ij")
    ramp = (z + 2 * y + 3 * x).expand(1, 12, 4, 4, 4)
    assert total_variation(ramp) == 1 + 4 + 9
    assert total_variation(ramp[:, :, :1, :1]) == 9
    assert total_variation(ramp[:, :, :1, :1, :1]) == 0


def noisy(align: bool) -> BilateralGrid:
    torch.manual_seed(0)
    module = BilateralGrid((4, 5, 6), align_corners=align)
    with torch.no_grad():
        module.grid += 0.3 * torch.randn_like(module.grid)
    return module.eval().requires_grad_(False)


def test_int8_is_within_half_a_step() -> None:
    module, image = noisy(True), torch.from_numpy(photo(20, 30))
    wanted, spread = module(image), module.grid.amax() - module.grid.amin()
    module.quantize_()
    assert module.grid.dtype == torch.int8
    found = module(image)
    assert 0 < (found - wanted).abs().max() <= 4 * spread / 254 / 2
    assert module.state_dict().keys() == {"grid", "scales"}


@pytest.mark.parametrize("int8", [False, True], ids=["f32", "i8"])
@ALIGN
def test_both_engines_and_the_fallback_give_what_the_module_gives(
    align: int, int8: bool, tmp_path: Path
) -> None:
    module = noisy(bool(align))
    if int8:
        module.quantize_()
    image, guide = torch.rand(2, 3, 9, 14), torch.rand(2, 9, 14)
    export_onnx(module, (image, guide), tmp_path / "m.onnx")
    export_tflite(module, (image, guide), tmp_path / "m.tflite")
    given_, wanted = (image.numpy(), guide.numpy()), module(image, guide).numpy()
    for path, mode in (("m.onnx", "require"), ("m.onnx", "off"), ("m.tflite", "require")):
        (found,) = Session(tmp_path / path, threads=2, native=mode).run(*given_)
        assert relative_error(found, wanted) < 1e-6, (path, mode)


def test_batches_may_vary(tmp_path: Path) -> None:
    module, image = noisy(True), torch.rand(2, 3, 9, 14)
    batch = {0: torch.export.Dim("batch")}
    export_onnx(module, (image,), tmp_path / "m.onnx", dynamic_shapes=(batch,))
    many = torch.rand(5, 3, 9, 14)
    for mode in ("require", "off"):
        session = Session(tmp_path / "m.onnx", threads=1, native=mode)
        assert relative_error(session.run(many.numpy())[0], module(many).numpy()) < 1e-6
