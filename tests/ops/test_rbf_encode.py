"""RbfEncode beside brute force and closed forms, and tables that are not to be trusted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import everywhere
from scipy.spatial import cKDTree
from torch.autograd import gradcheck

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.runtime import Session, native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.case import Case, normal
from smalti.runtime.ops.rbf_encode.buckets import build_buckets
from smalti.runtime.ops.rbf_encode.module import RbfEncoding
from smalti.runtime.ops.rbf_encode.op import KERNELS, rbf_encode

AXES = st.integers(1, 3)
ATTRIBUTES = {"kernel": 0, "neighbours": 3, "normalise": 0, "cells": 4}


def inputs(
    x: np.ndarray, centers: np.ndarray, neighbours: int, cells: int, channels: int = 5
) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    start, ids = build_buckets(centers.astype(np.float64), neighbours, cells)
    return {
        "x": x,
        "centers": centers,
        "shapes": rng.uniform(1, 20, (len(centers), 1)).astype(np.float32),
        "features": normal(rng, len(centers), channels),
        "cell_start": start,
        "cell_ids": ids,
    }


def call(given_: dict[str, Any], **attributes: Any) -> np.ndarray:
    """Of portable, once all the others are seen to be equal."""
    case = Case("", given_, {**ATTRIBUTES, **attributes})
    (_, _, first), *others = everywhere("RbfEncode", case)
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    return first


def numbered(given_: dict[str, Any]) -> dict[str, Any]:
    """Every center's features are a 1 of its own, all shapes 0: y tells who the neighbours are."""
    count = len(given_["centers"])
    return {
        **given_,
        "features": np.eye(count, dtype=np.float32),
        "shapes": np.zeros((count, 1), np.float32),
    }


def brute_force(x: np.ndarray, centers: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the (N, K) ones of the nearest; equal distances in the order of the centers."""
    inside = np.clip(x.astype(np.float64), 0, 1)
    distances = np.square(inside[:, None] - centers).sum(-1)
    chosen = np.argsort(distances, 1, kind="stable")[:, :neighbours]
    return (chosen[:, :, None] == np.arange(len(centers))).any(1).astype(np.float32)


@given(AXES, st.integers(1, 9), st.integers(1, 6), st.integers(0, 2**32), st.booleans())
@settings(max_examples=60)
def test_neighbours_are_those_of_brute_force(
    axes: int, neighbours: int, cells: int, seed: int, lattice: bool
) -> None:
    """On a lattice of eighths many distances are equal, and exact; some centers coincide."""
    rng = np.random.default_rng(seed)
    count = neighbours + int(rng.integers(0, 60))
    x, centers = rng.uniform(-0.2, 1.2, (40, axes)), rng.random((count, axes))
    if lattice:
        x, centers = np.rint(x * 16) / 16, np.rint(centers * 8) / 8
    x, centers = x.astype(np.float32), centers.astype(np.float32)
    given_ = numbered(inputs(x, centers, neighbours, cells))
    found = call(given_, neighbours=neighbours, cells=cells)
    assert np.array_equal(found, brute_force(x, centers, neighbours))


def test_neighbours_are_those_of_a_tree() -> None:
    """Lists are short: a cell of the size of a center's share has some ten candidates."""
    rng = np.random.default_rng(3)
    x, centers = (rng.random((n, 2)).astype(np.float32) for n in (3000, 1024))
    given_ = numbered(inputs(x, centers, 4, 32))
    assert len(given_["cell_ids"]) < 12 * 32**2
    found = np.nonzero(call(given_, neighbours=4, cells=32))[1].reshape(-1, 4)
    assert np.array_equal(found, np.sort(cKDTree(centers).query(x, 4)[1], 1))


def test_centers_beyond_the_cube_count_too() -> None:
    x = np.float32([[0, 0.5], [1, 1]])
    centers = np.float32([[-0.1, 0.5], [0.5, 0.5], [3, 1], [1.2, 1.2], [-50, 0]])
    found = call(numbered(inputs(x, centers, 2, 3)), neighbours=2, cells=3)
    assert np.array_equal(found, [[1, 1, 0, 0, 0], [0, 1, 0, 1, 0]])


@pytest.mark.parametrize("numbers", [1, 2, 4])
@pytest.mark.parametrize("normalise", [0, 1])
@pytest.mark.parametrize("kernel", range(3), ids=KERNELS)
def test_values_are_those_of_the_formulas(kernel: int, normalise: int, numbers: int) -> None:
    rng = np.random.default_rng(4)
    x, centers = (rng.random((n, 2)).astype(np.float32) for n in (50, 20))
    given_ = inputs(x, centers, 3, 4)
    shapes = rng.uniform(1, 9, (20, numbers)).astype(np.float32)
    if numbers == 4:  # of some root: no squared distance is negative
        roots = shapes.reshape(-1, 2, 2)
        shapes = (roots @ roots.transpose(0, 2, 1)).reshape(-1, 4)
    given_["shapes"] = shapes
    matrices = np.stack(
        [s.reshape(2, 2) if numbers == 4 else np.diag(np.broadcast_to(s, 2)) for s in shapes]
    )
    o = x[:, None].astype(np.float64) - centers
    r2 = np.einsum("nki,kij,nkj->nk", o, matrices, o)
    phi = (1 / (1 + r2), (1 + r2) ** -0.5, np.exp(-r2))[kernel] * brute_force(x, centers, 3)
    weights = phi / phi.sum(1, keepdims=True) if normalise else phi
    found = call(given_, kernel=kernel, normalise=normalise)
    assert np.abs(found - weights @ given_["features"]).max() <= 1e-6


def test_functions_that_are_all_zero_give_zero() -> None:
    given_ = inputs(np.float32([[0.5]]), np.float32([[0], [0.1], [1]]), 3, 4)
    given_["shapes"][:] = 1e4
    assert not call(given_, kernel=2, normalise=1).any()


@given(arrays(np.float32, (9, 3), elements=st.floats(width=32)))
@example(np.full((9, 3), np.inf, np.float32))
@example(np.full((9, 3), -np.inf, np.float32))
@settings(max_examples=60)
def test_any_point_gives_nan_or_what_the_nearest_of_the_cube_gives(x: np.ndarray) -> None:
    centers = np.random.default_rng(5).random((30, 3)).astype(np.float32)
    found, inside = (call(inputs(p, centers, 3, 4)) for p in (x, np.clip(x, 0, 1)))
    assert np.array_equal(np.isnan(found).all(1), np.isnan(x).any(1))
    assert np.array_equal(found, inside, equal_nan=True)


def test_nan_of_a_function_stays_with_its_neighbours() -> None:
    rng = np.random.default_rng(6)
    x, centers = (rng.random((n, 2)).astype(np.float32) for n in (200, 30))
    given_ = inputs(x, centers, 3, 4)
    given_["features"][7, 1] = given_["shapes"][11] = np.nan
    near = brute_force(x, centers, 3) > 0
    lost = np.isnan(call(given_))
    assert np.array_equal(lost[:, 0], near[:, 11])
    assert np.array_equal(lost[:, 1], near[:, 11] | near[:, 7])
    assert 0 < lost.sum() < lost.size


TABLES = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 40), min_size=17, max_size=17)


@given(TABLES, st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 10), max_size=40))
@settings(max_examples=100)
def test_no_table_makes_it_read_outside(start: list[int], ids: list[int]) -> None:
    """It gives an error, or values of centers that are there."""
    rng = np.random.default_rng(7)
    x, centers = (rng.random((n, 2)).astype(np.float32) for n in (20, 10))
    given_ = inputs(x, centers, 3, 4)
    given_ |= {"cell_start": np.array(start), "cell_ids": np.array(ids, np.int64)}
    try:
        assert np.abs(call(given_)).max() <= 3 * np.abs(given_["features"]).max()
    except NativeError as error:
        assert "a cell does not list 3 or more of 10 centers; build the table" in str(error)


@pytest.mark.parametrize("damage", ["id", "negative", "short", "past", "backwards"])
def test_damaged_tables_are_refused(damage: str) -> None:
    rng = np.random.default_rng(8)
    x, centers = (rng.random((n, 2)).astype(np.float32) for n in (500, 10))
    given_ = inputs(x, centers, 3, 4)
    start, ids = given_["cell_start"], given_["cell_ids"]
    if damage in ("id", "negative"):
        ids[-1] = 10 if damage == "id" else -1
    else:
        start[3] = {"short": start[4] - 2, "past": len(ids) + 1, "backwards": -1}[damage]
    with pytest.raises(NativeError, match="cell_start, cell_ids: .*; build the table for these"):
        call(given_)


GOOD = {
    "x": (6, 2),
    "centers": (9, 2),
    "shapes": (9, 4),
    "features": (9, 5),
    "cell_start": (17,),
    "cell_ids": (30,),
}
REFUSED: list[tuple[dict[str, tuple[int, ...]], dict[str, int], str]] = [
    ({}, {"kernel": 3}, "kernel: 3; pass 0 .inverse quadric"),
    ({}, {"neighbours": 0}, "neighbours: 0; pass 1 to 32"),
    ({}, {"neighbours": 33}, "neighbours: 33; pass 1 to 32"),
    ({}, {"neighbours": 10}, "neighbours: 10 of 9 centers; pass at most"),
    ({}, {"cells": 0}, "cells: 0; pass 1 to 2.20"),
    ({}, {"cells": 5}, "cell_start: dimension 0 is 17; pass 26"),
    ({"x": (6,)}, {}, "x: rank 1; pass .N, d"),
    ({"x": (6, 3)}, {}, "x: dimension 1 is 3; pass 2"),
    ({"x": (6, 4), "centers": (9, 4)}, {}, "x: points of 4 coordinates; pass 1 to 3"),
    ({"x": (6, 0), "centers": (9, 0), "shapes": (9, 1)}, {}, "x: points of 0 coordinates"),
    ({"centers": (9,)}, {}, "centers: rank 1; pass .K, d"),
    ({"shapes": (8, 4)}, {}, "shapes: dimension 0 is 8; pass 9"),
    ({"shapes": (9, 3)}, {}, "shapes: 3 numbers a center; pass 1, 2 or 4"),
    ({"features": (8, 5)}, {}, "features: dimension 0 is 8; pass 9"),
    ({"cell_start": (1, 17)}, {}, "cell_start: rank 2; pass .cells.d . 1"),
    ({"cell_ids": (1, 30)}, {}, "cell_ids: rank 2; pass .M"),
]


@pytest.mark.parametrize(("shapes", "attributes", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(
    shapes: dict[str, tuple[int, ...]], attributes: dict[str, int], message: str
) -> None:
    arrays_ = [
        np.zeros(shape, np.int64 if name.startswith("cell") else np.float32)
        for name, shape in {**GOOD, **shapes}.items()
    ]
    with pytest.raises(NativeError, match=f"RbfEncode: {message}"):
        native.run_op("RbfEncode", arrays_, {**ATTRIBUTES, **attributes})


def encoding(numbers: int = 4, kernel: str = "gaussian", **options: Any) -> RbfEncoding:
    torch.manual_seed(0)
    roots = 3 * torch.randn(20, 2, 2)
    shapes = (roots @ roots.mT).flatten(1)[:, :numbers].abs()
    return RbfEncoding(torch.rand(20, 2), shapes, torch.randn(20, 6), kernel=kernel, **options)


@pytest.mark.parametrize("numbers", [1, 2, 4])
@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_those_of_finite_differences(kernel: str, numbers: int) -> None:
    module = encoding(numbers, kernel)
    x = torch.rand(5, 2, dtype=torch.double, requires_grad=True)
    learned = [p.detach().double().requires_grad_() for p in (module.shapes, module.features)]
    fixed = module.cell_start, module.cell_ids, KERNELS.index(kernel), 4, True, module.cells
    centers = module.centers.double()
    assert gradcheck(lambda p, s, f: rbf_encode.call(p, centers, s, f, *fixed), (x, *learned))


def test_the_module_learns_shapes_and_features() -> None:
    module = encoding()
    module(torch.rand(7, 2)).square().sum().backward()
    assert {name for name, p in module.named_parameters() if p.grad is not None} == {
        "shapes",
        "features",
    }
    assert module.cells == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "cubic"}, "kernel: 'cubic'; pass one of inverse_quadric"),
        ({"neighbours": 21}, "neighbours: 21; pass at most 20, one a center"),
        ({"neighbours": 0}, "neighbours: 0; pass 1 to 32"),
        ({"numbers": 3}, r"shapes: \(20, 3\); pass 1, d or d \* d numbers for each of 20 .* d = 2"),
    ],
)
def test_the_module_refuses_what_does_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoding(**options)


def test_centers_are_numbers() -> None:
    with pytest.raises(ValueError, match="centers: not all are finite; pass numbers"):
        build_buckets(np.array([[0.5], [np.nan]]), 1, 2)


@pytest.mark.parametrize(("kernel", "normalise"), zip(KERNELS, (True, False, True), strict=True))
def test_both_engines_and_the_fallback_give_what_the_module_gives(
    kernel: str, normalise: bool, tmp_path: Path
) -> None:
    module = encoding(kernel=kernel, normalise=normalise).eval().requires_grad_(False)
    x = torch.rand(40, 2) * 1.2 - 0.1
    batch = {0: torch.export.Dim("batch")}
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=(batch,))
    export_tflite(module, (x,), tmp_path / "m.tflite")
    for path, mode in (("m.onnx", "require"), ("m.onnx", "off"), ("m.tflite", "require")):
        (found,) = Session(tmp_path / path, threads=2, native=mode).run(x.numpy())
        assert relative_error(found, module(x).numpy()) < 1e-6, (path, mode)


def test_equal_distances_are_decided_alike_in_the_fallback(tmp_path: Path) -> None:
    centers = torch.cartesian_prod(*[torch.arange(5) / 4] * 2)
    torch.manual_seed(0)
    module = RbfEncoding(centers, torch.ones(25, 1), torch.randn(25, 3), neighbours=3)
    x = torch.cartesian_prod(*[torch.arange(9) / 8] * 2)
    export_onnx(module.requires_grad_(False), (x,), tmp_path / "m.onnx")
    for mode in ("require", "off"):
        (found,) = Session(tmp_path / "m.onnx", threads=1, native=mode).run(x.numpy())
        assert relative_error(found, module(x).numpy()) < 1e-6, mode
