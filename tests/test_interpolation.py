"""GridSample, Resize and IRFFT beside the engine's own operators, and beside numpy."""

from typing import Any

import numpy as np
import onnx.helper as oh
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from smalti.runtime import native
from smalti.runtime.ops.case import normal
from smalti.runtime.ops.grid_sample.op import grid_sample

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")
ALIGN = pytest.mark.parametrize("align", [0, 1], ids=["edges", "align"])
PADDING = pytest.mark.parametrize("padding", range(3), ids=PADDINGS)


def engine(op: str, opset: int, *arrays: np.ndarray | None, **attributes: Any) -> np.ndarray:
    """What a standard operator of ONNX Runtime gives; None for an input left out."""
    given = {f"i{k}": a for k, a in enumerate(arrays) if a is not None}
    names = ["" if a is None else f"i{k}" for k, a in enumerate(arrays)]
    graph = oh.make_graph(
        [oh.make_node(op, names, ["y"], **attributes)],
        op,
        [
            oh.make_tensor_value_info(k, oh.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for k, a in given.items()
        ],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", opset)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, given)[0]


def sample(x: np.ndarray, grid: np.ndarray, mode: int, padding: int, align: int) -> np.ndarray:
    """Channels first; channels last has to give the same bits."""
    attributes = {"mode": mode, "padding_mode": padding, "align_corners": align}
    found = native.run_op("GridSample", [x, grid], {**attributes, "channels_last": 0})
    other = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    last = native.run_op("GridSample", [other, grid], {**attributes, "channels_last": 1})
    assert np.array_equal(np.moveaxis(last, -1, 1), found, equal_nan=True)
    return found


def resize(x: np.ndarray, sizes: tuple[int, int], align: int, mode: int = 2) -> np.ndarray:
    """As `sample`."""
    attributes = {"sizes": sizes, "mode": mode, "align_corners": align}
    found = native.run_op("Resize", [x], {**attributes, "channels_last": 0})
    other = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    last = native.run_op("Resize", [other], {**attributes, "channels_last": 1})
    assert np.array_equal(np.moveaxis(last, -1, 1), found, equal_nan=True)
    return found


def irfft(x: np.ndarray, n: int) -> np.ndarray:
    return native.run_op("IRFFT", [x], {"n": n})


SAMPLED = [
    pytest.param(mode, shape, points, id=f"{MODES[mode]}-{'x'.join(map(str, shape))}")
    for shape, points in (
        ((2, 3, 9, 11), (20, 30)),
        ((1, 7, 4, 3), (9, 15)),
        ((1, 301, 3, 2), (5, 3)),
        ((1, 2, 1, 1), (8, 8)),
        ((1, 1, 1, 6), (9, 9)),
        ((2, 2, 5, 6, 7), (6, 7, 8)),
        ((1, 1, 1, 4, 1), (5, 5, 5)),
    )
    for mode in range(3 if len(points) == 2 else 2)
]


@pytest.mark.parametrize("opset", [20, 22])
@ALIGN
@PADDING
@pytest.mark.parametrize(("mode", "shape", "points"), SAMPLED)
def test_samples_as_the_engine_does(
    mode: int, shape: tuple[int, ...], points: tuple[int, ...], padding: int, align: int, opset: int
) -> None:
    rng = np.random.default_rng(0)
    x = normal(rng, *shape)
    grid = rng.uniform(-2.5, 2.5, (shape[0], *points, len(points))).astype(np.float32)
    found = sample(x, grid, mode, padding, align)
    names = {"mode": MODES[mode], "padding_mode": PADDINGS[padding], "align_corners": align}
    wanted = engine("GridSample", opset, x, grid, **names)
    # measured: 0 for nearest, 5e-7 for linear, 2.6e-6 for cubic, whose weights the engine expands
    bound = (1e-6, 0, 5e-6)[mode]
    assert np.abs(found - wanted).max() <= bound


@ALIGN
@PADDING
def test_ties_between_pixels_go_to_the_even_one_as_in_torch(padding: int, align: int) -> None:
    """In reflection the engine rounds before it reflects: ties beyond an edge differ from Torch's."""
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 1, 8)
    pixels = np.arange(-24, 40) / 2
    across = 2 * pixels / 7 - 1 if align else (2 * pixels + 1) / 8 - 1
    grid = np.stack([across, np.zeros(64)], -1).reshape(1, 1, 64, 2).astype(np.float32)
    found = sample(x, grid, 1, padding, align)
    given = torch.from_numpy(x), torch.from_numpy(grid)
    assert np.array_equal(
        found, grid_sample.reference(*given, 1, padding, bool(align), False).numpy()
    )
    inside = (pixels >= -0.5) & (pixels < 7.5)
    nearest = np.rint(pixels[inside]).astype(int).clip(0, 7)
    if not align:  # aligned corners round in float32, to one side of the tie
        assert np.array_equal(found[0, 0, 0, inside], x[0, 0, 0, nearest])


RESIZED = (
    ((1, 2, 5, 7), (10, 14)),
    ((1, 2, 5, 7), (13, 9)),
    ((2, 2, 12, 9), (5, 4)),
    ((1, 2, 6, 11), (13, 3)),
    ((1, 1, 1, 1), (3, 4)),
    ((1, 1, 6, 5), (1, 1)),
    ((1, 1, 33, 41), (64, 96)),
    ((1, 7, 6, 5), (11, 23)),
    ((1, 37, 9, 5), (4, 12)),
)


@ALIGN
@pytest.mark.parametrize("mode", [0, 2], ids=["linear", "cubic"])
@pytest.mark.parametrize(("shape", "sizes"), RESIZED)
def test_resizes_as_the_engine_does(
    shape: tuple[int, ...], sizes: tuple[int, int], mode: int, align: int
) -> None:
    x = normal(np.random.default_rng(1), *shape)
    target = np.array([*shape[:2], *sizes])
    coordinates = "align_corners" if align else "half_pixel"
    options = {"mode": MODES[mode], "coordinate_transformation_mode": coordinates}
    wanted = engine("Resize", 19, x, None, None, target, **options)
    # the engine's coordinates are float32: it is off by 1e-7 times the size
    assert np.abs(resize(x, sizes, align, mode) - wanted).max() <= 4e-7 * max(10, *shape, *sizes)


@pytest.mark.parametrize("n", [8, 12, 13, 96, 97, 720, 1024])
def test_inverts_spectra_as_the_engine_does(n: int) -> None:
    x = normal(np.random.default_rng(2), 4, n // 2 + 1, 2)
    wanted = engine("DFT", 20, x, np.array(n), np.array(-2), inverse=1, onesided=1)[..., 0]
    # its own error is up to 6e-5 where n is no power of two
    assert np.linalg.norm(irfft(x, n) - wanted) <= 1e-4 * np.linalg.norm(wanted)


@pytest.mark.parametrize("n", [*range(1, 131), 336, 720, 1009, 1024, 2187, 4093, 4095, 4096])
def test_inverts_spectra_to_float_s_last_bit(n: int) -> None:
    x = normal(np.random.default_rng(n), 2, n // 2 + 1, 2)
    wanted = np.fft.irfft(x[..., 0].astype(np.float64) + 1j * x[..., 1], n)
    assert np.linalg.norm(irfft(x, n) - wanted) <= 6e-8 * np.linalg.norm(wanted)
