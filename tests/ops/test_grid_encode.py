"""GridEncode beside Torch's grid_sample, closed forms and its own definition, point by point."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracle import everywhere, exact
from torch.nn.functional import grid_sample

from smalti.runtime import native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.case import Case, normal
from smalti.runtime.ops.grid_encode.cases import levels
from smalti.runtime.ops.grid_encode.op import INTERPOLATIONS, WARPS

NEAREST, LINEAR, SMOOTHSTEP, SIMPLEX = range(4)
PRIMES = (1, 2654435761, 805459861, 3674653429)


def attributes(features: int, mode: int = LINEAR, warp: int = 0, align: bool = True) -> dict:
    return {"features": features, "interpolation": mode, "warp": warp, "align_corners": align}


def encode(x: np.ndarray, table: np.ndarray, grids: np.ndarray, **options: int) -> np.ndarray:
    given = {"x": x.astype(np.float32), "table": table, "levels": grids}
    return native.run_op("GridEncode", given, attributes(table.shape[1], **options))


@pytest.mark.parametrize("sizes", [(9, 6), (5, 9, 3)], ids=["image", "volume"])
def test_a_dense_level_is_an_image_sampled_between_its_pixels(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.2, 1.2, (200, len(sizes))).astype(np.float32)
    table = normal(rng, int(np.prod(sizes)), 3)
    image = torch.from_numpy(table.T.copy()).reshape(1, 3, *reversed(sizes))
    grid = torch.from_numpy(2 * x - 1).reshape(1, *[1] * (len(sizes) - 1), 200, -1)
    for mode, name in ((LINEAR, "bilinear"), (NEAREST, "nearest")):
        found = encode(x, table, levels((sizes, len(table))), mode=mode)
        wanted = grid_sample(image, grid, name, "border", align_corners=True)
        # measured: 2e-6, from coordinates that Torch wants between -1 and 1
        assert np.abs(found - wanted.reshape(3, 200).T.numpy()).max() <= (5e-6 if mode else 0)


def test_without_aligned_corners_the_outer_vertices_surround_the_image() -> None:
    """Of n pixels in [0, 1], and one more on every side that repeats the edge."""
    rng = np.random.default_rng(1)
    image = torch.from_numpy(normal(rng, 1, 2, 6, 9))
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
    x = rng.uniform(0, 1, (100, 2)).astype(np.float32)
    grid = torch.from_numpy(2 * x - 1).reshape(1, 1, 100, 2)
    wanted = grid_sample(image, grid, "bilinear", "border", align_corners=False)
    table = padded.reshape(2, -1).T.contiguous().numpy()
    found = encode(x, table, levels(((11, 8), 88)), align=False)
    assert np.abs(found - wanted.reshape(2, 100).T.numpy()).max() <= 5e-6


def row_of(vertex: np.ndarray, sizes: np.ndarray, rows: int) -> int:
    """The definition, in Python's integers."""
    if np.prod(sizes.astype(float)) <= rows:
        return int(np.ravel_multi_index(vertex[::-1], sizes[::-1]))
    found = 0
    for c, prime in zip(vertex, PRIMES, strict=False):
        found ^= int(c) * prime
    return found % 2**32 % rows


@pytest.mark.parametrize("features", [1, 2, 3], ids=lambda f: f"{f}features")
@pytest.mark.parametrize("rows", [1, 37, 64, 1 << 20], ids=lambda r: f"{r}rows")
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_vertices_have_the_rows_that_the_hash_says(dims: int, rows: int, features: int) -> None:
    """At vertices, every interpolation gives their features."""
    rng = np.random.default_rng(dims)
    sizes = np.array([257, 129, 1025, 65][:dims])
    table = normal(rng, 5 + rows, features)
    vertices = rng.integers(0, sizes, (20, dims))
    x = vertices / (sizes - 1)
    wanted = table[[5 + row_of(v, sizes, rows) for v in vertices]]
    for mode in range(4):
        found = encode(x, table, np.array([[*sizes, 5, rows]]), mode=mode)
        assert np.array_equal(found, wanted), INTERPOLATIONS[mode]


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_barycentric_and_multilinear_weights_reproduce_planes(dims: int) -> None:
    rng = np.random.default_rng(3)
    sizes = (3, 4, 6, 5)[:dims]
    slopes = rng.standard_normal(dims)
    vertices = np.array([v[::-1] for v in itertools.product(*map(range, sizes[::-1]))])
    table = (vertices @ slopes).astype(np.float32)[:, None]
    x = rng.uniform(0, 1, (300, dims)).astype(np.float32)
    wanted = (x * (np.array(sizes) - 1)) @ slopes
    for mode in (LINEAR, SIMPLEX):
        found = encode(x, table, levels((sizes, len(table))), mode=mode)
        assert np.abs(found[:, 0] - wanted).max() <= 1e-5


def test_a_simplex_is_that_of_its_order_of_coordinates() -> None:
    """Kuhn: in the unit cube, f = sum of falling coordinates' differences times partial sums."""
    rng = np.random.default_rng(4)
    table = normal(rng, 8, 1)
    x = rng.uniform(0, 1, (100, 3)).astype(np.float32)
    wanted = []
    for point in x.astype(float):
        order = np.argsort(-point)
        corner, value, above = 0, 0.0, 1.0
        for axis in order:
            value += (above - point[axis]) * table[corner, 0]
            corner, above = corner + (1 << axis), point[axis]
        wanted.append(value + above * table[corner, 0])
    found = encode(x, table, levels(((2, 2, 2), 8)), mode=SIMPLEX)
    assert np.abs(found[:, 0] - wanted).max() <= 1e-6


def test_halves_go_up_to_the_nearest_vertex() -> None:
    x = np.array([[0.125], [np.nextafter(np.float32(0.125), 0)], [0.875], [1.0]])
    found = encode(x, np.arange(5, dtype=np.float32)[:, None], levels(((5,), 5)), mode=NEAREST)
    assert found[:, 0].tolist() == [1, 0, 4, 4]


@pytest.mark.parametrize("warp", [1, 2], ids=WARPS[1:])
def test_warps_keep_the_ends_and_the_middle(warp: int) -> None:
    x = np.array([[0.0], [0.25], [0.5], [1.0]])
    found = encode(x, np.array([[0.0], [1.0]], np.float32), levels(((2,), 2)), warp=warp)
    quarter = (0.5 - np.sin(0.5) / np.sin(1) / 2, 1 / 3)[warp - 1]
    assert np.abs(found[:, 0] - [0, quarter, 0.5, 1]).max() <= 1e-6


@given(
    arrays(np.float32, (9, 3), elements=st.floats(width=32)),
    st.integers(0, 3),
    st.integers(0, 2),
    st.booleans(),
)
@settings(max_examples=150)
def test_any_coordinate_gives_nan_or_features_of_the_table(
    x: np.ndarray, mode: int, warp: int, align: bool
) -> None:
    table = normal(np.random.default_rng(5), 200, 2)
    grids = levels(((4, 5, 6), 120), ((1 << 22, 33, 7), 80))
    given = {"x": x, "table": table, "levels": grids}
    case = Case("", given, attributes(2, mode, warp, align))
    (_, _, first), *others = everywhere("GridEncode", case)
    assert all(np.array_equal(found, first, equal_nan=True) for _, _, found in others)
    lost = np.isnan(x).any(1)
    assert np.array_equal(np.isnan(first), np.broadcast_to(lost[:, None], first.shape))
    assert (np.abs(first[~lost]) <= 1.000001 * np.abs(table).max()).all()


def test_errors_are_those_of_positions_in_float() -> None:
    """What the operator's docstring says, on the finest grid that it is likely to have."""
    rng = np.random.default_rng(6)
    table = rng.uniform(-1, 1, (1 << 12, 2)).astype(np.float32)
    for size in (64, 1024):
        given = {
            "x": rng.random((5000, 3), np.float32),
            "table": table,
            "levels": levels(((size,) * 3, len(table))),
        }
        case = Case("", given, attributes(2))
        found = native.run_op("GridEncode", given, case.attributes)
        assert np.abs(found - exact("GridEncode", case)).max() <= 3e-7 * size


X, TABLE, GRIDS = np.zeros((5, 2), np.float32), np.zeros((20, 2), np.float32), levels(((4, 5), 20))
CODES, ENTRIES = np.zeros((20, 1), np.uint8), np.zeros((256, 2), np.float32)
SIGNED = TABLE.astype(np.int8)


def level(*numbers: int) -> dict[str, np.ndarray]:
    return {"levels": np.array([numbers], np.int64)}


REFUSED = [
    ({"x": X[0]}, {}, "x: rank 1; pass 2"),
    ({"x": np.zeros((5, 5), np.float32)}, {}, "x: 5 coordinates a point; pass 1 to 4"),
    ({"x": np.zeros((5, 3), np.float32)}, {}, "levels: 4 columns; pass 5"),
    ({"table": TABLE[0]}, {}, "table: rank 1; pass 2"),
    ({"levels": GRIDS[0]}, {}, "levels: rank 1; pass 2"),
    (level(4, 5, 0, 21), {}, "levels: 21 rows from row 0; the table has 20"),
    (level(4, 5, 1, 20), {}, "levels: 20 rows from row 1; the table has 20"),
    (level(4, 5, -1, 20), {}, "levels: 20 rows from row -1"),
    (level(4, 5, 0, 0), {}, "levels: 0 rows from row 0"),
    (level(4, 5, 2**62, 2**62), {}, "levels: .*; the table has 20"),
    (level(4, 1, 0, 20), {}, "levels: 1 vertices along an axis; pass 2"),
    (level(-(2**63), 5, 0, 20), {}, "levels: -.* vertices along an axis; pass 2"),
    (level(4, 2**63 - 1, 0, 20), {}, "levels: .* vertices along an axis; pass 2 to 2.22"),
    ({"scales": np.ones(2, np.float32)}, {}, "scales: 2; pass one for each of 1 levels"),
    ({"table": CODES}, {}, "codebook: missing; a table of u8 is one of codes"),
    ({"codebook": ENTRIES}, {}, "codebook: given, but the table has no codes"),
    ({"table": SIGNED, "codebook": ENTRIES}, {}, "codebook: given, but the table has no codes"),
    ({"table": CODES, "codebook": ENTRIES[1:]}, {}, "codebook: 255 entries; fill up .* 256"),
    ({"table": CODES, "codebook": ENTRIES[:, :0]}, {}, "codebook: entries of 0 numbers; pass"),
    ({"table": CODES, "codebook": ENTRIES[:, :1]}, {}, "table: rows of 1 features; pass 2"),
    ({}, {"features": 3}, "table: rows of 2 features; pass 3"),
    ({}, {"features": 0}, "features: 0; pass 1"),
    ({}, {"interpolation": 4}, "interpolation: 4; pass 0 .nearest"),
    ({}, {"warp": -1}, "warp: -1; pass 0 .none"),
]


@pytest.mark.parametrize(("inputs", "options", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(
    inputs: dict[str, np.ndarray], options: dict[str, int], message: str
) -> None:
    given = {"x": X, "table": TABLE, "levels": GRIDS, **inputs}
    with pytest.raises(NativeError, match=f"GridEncode: {message}"):
        native.run_op("GridEncode", given, {**attributes(2), **options})
