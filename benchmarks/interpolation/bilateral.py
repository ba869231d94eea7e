"""A 12 megapixel photo through a bilateral grid, beside GridSample and a product of matrices.

Torch and ONNX Runtime sample twelve coefficients for every pixel first: 576 MB.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx.helper as oh
import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn.functional import grid_sample

from benchmarks.subject import (
    OURS,
    Array,
    Goal,
    Run,
    Subject,
    compiled,
    node,
    session,
)

_PHOTO, _CELLS = (3000, 4000), (8, 16, 16)  # h, w; Lz, H, W
_LUMA = (0.299, 0.587, 0.114)


def _places(image: Array) -> Array:
    """Return where the pixels sample the grid, all but z: given to the peers for nothing."""
    height, width = image.shape[2:]
    axes = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return np.stack(axes, -1).astype(np.float32)


def _peer(coefficients: Tensor, image: Tensor, places: Tensor) -> Tensor:
    z = 2 * torch.tensordot(image[0], torch.tensor(_LUMA), ([0], [0])) - 1
    points = torch.cat([places, z[..., None]], -1)[None, None]
    found = grid_sample(coefficients, points, "bilinear", "border", True)
    rows = found.view(3, 4, *image.shape[2:])
    return torch.einsum("rchw,chw->rhw", rows[:, :3], image[0]) + rows[:, 3]


def _engine(coefficients: Array, image: Array, places: Array, threads: int) -> Run:
    """GridSample, then a product with (r, g, b) for every pixel."""
    height, width = image.shape[2:]
    given = {"grid": coefficients, "image": image, "places": places}
    constants = {
        "luma": np.array(_LUMA, np.float32).reshape(1, 3, 1, 1) * 2,
        "one": np.ones(1, np.float32),
        "axes": np.array([1]),
        "to_z": np.array([height, width, 1]),
        "to_points": np.array([1, 1, height, width, 3]),
        "to_rows": np.array([3, 4, height, width]),
        "split": np.array([3, 1]),
    }
    nodes = [
        oh.make_node("Mul", ["image", "luma"], ["parts"]),
        oh.make_node("ReduceSum", ["parts", "axes"], ["luma2"], keepdims=0),
        oh.make_node("Sub", ["luma2", "one"], ["z1"]),
        oh.make_node("Reshape", ["z1", "to_z"], ["z"]),
        oh.make_node("Concat", ["places", "z"], ["points3"], axis=2),
        oh.make_node("Reshape", ["points3", "to_points"], ["points"]),
        oh.make_node(
            "GridSample",
            ["grid", "points"],
            ["found"],
            mode="linear",
            padding_mode="border",
            align_corners=1,
        ),
        oh.make_node("Reshape", ["found", "to_rows"], ["rows"]),
        oh.make_node("Split", ["rows", "split"], ["matrices", "shifts"], axis=1),
        oh.make_node("Mul", ["matrices", "image"], ["products"]),
        oh.make_node("ReduceSum", ["products", "axes"], ["sums"]),
        oh.make_node("Add", ["sums", "shifts"], ["y"]),
    ]
    graph = oh.make_graph(
        nodes,
        "slice",
        [oh.make_tensor_value_info(k, TensorProto.FLOAT, a.shape) for k, a in given.items()],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            oh.make_tensor(k, oh.np_dtype_to_tensor_dtype(a.dtype), a.shape, a)
            for k, a in constants.items()
        ],
    )
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 20)], ir_version=10)
    return session(model, given, threads)


def _photo(size: tuple[int, int]) -> tuple[Array, Array]:
    """Return a grid near the identity, and an image that is smooth as photos are, with noise."""
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((1, 12, *_CELLS), np.float32) * np.float32(0.1)
    grid[:, [0, 5, 10]] += 1
    y, x = np.meshgrid(*(np.linspace(0, 6, n, dtype=np.float32) for n in size), indexing="ij")
    smooth = np.stack([np.sin(x + y), np.cos(x - y), np.sin(x * y / 3)])
    noise = rng.standard_normal((3, *size), np.float32)
    return grid, (0.5 + 0.4 * smooth + 0.05 * noise)[None].astype(np.float32)


def _runs(size: tuple[int, int], threads: int) -> Mapping[str, Run]:
    grid, image = _photo(size)
    places, scales = _places(image), np.array([[1] * 12, [0] * 12], np.float32)
    g, i, p = map(torch.from_numpy, (grid, image, places))
    steps = np.abs(grid).max((0, 2, 3, 4)) / 127
    small = np.rint(grid / steps[:, None, None, None]).astype(np.int8)
    attributes = {"align_corners": 1}
    return {
        OURS: node("BilateralSlice", [grid, image, scales], attributes, threads),
        f"{OURS} int8 grid": node(
            "BilateralSlice", [small, image, np.stack([steps, 0 * steps])], attributes, threads
        ),
        "torch": lambda: _peer(g, i, p),
        **compiled("torch", lambda: _peer(g, i, p)),
        "onnxruntime": _engine(grid, image, places, threads),
    }


SUBJECTS = (
    Subject(
        "bilateral grid on 12 megapixels",
        lambda threads: _runs(_PHOTO, threads),
        (Goal(3.0, ("torch", "onnxruntime")),),
    ),
)
