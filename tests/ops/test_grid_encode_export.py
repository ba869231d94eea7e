"""GridEncoding in a module: one file an engine, tables of every type."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx
from smalti.export.tflite import export_tflite
from smalti.export.verify import relative_error
from smalti.quant.table import quantize_table_
from smalti.runtime import Session
from smalti.runtime.ops.grid_encode.module import GridEncoding, resolutions

TABLES = ("float32", "float16", "int8", "vq-2x256")


def field(table: str, interpolation: str = "linear") -> nn.Module:
    """Dense and hashed levels, then a dense layer."""
    torch.manual_seed(0)
    grid = GridEncoding(3, resolutions(4, 1.7, 4), 4, 8, interpolation, align_corners=False)
    nn.init.normal_(grid.table)
    if table == "float16":
        grid.table = nn.Parameter(grid.table.detach().half(), requires_grad=False)
    elif table != "float32":
        quantize_table_(grid, table)
    return nn.Sequential(grid, nn.Linear(16, 3)).eval()


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1


def same_everywhere(module: nn.Module, path: Path, count: int) -> None:
    x = points(count)
    wanted = module(x).detach().numpy()
    kernels = ("require", "off") if path.suffix == ".onnx" else ("require",)
    for native in kernels:
        (found,) = Session(path, threads=2, native=native).run(x.numpy())
        assert relative_error(found, wanted) < 1e-5, native


@pytest.mark.parametrize("table", TABLES)
def test_onnx_runs_with_our_kernel_and_without_it(table: str, tmp_path: Path) -> None:
    module, path = field(table), tmp_path / "m.onnx"
    batch = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (points(5),), path, dynamic_shapes=batch)
    same_everywhere(module, path, 50)
    (found,) = Session(path, threads=1, native="off").run(points(0).numpy())
    assert found.shape == (0, 3)


@pytest.mark.parametrize("interpolation", ["nearest", "smoothstep", "simplex"])
def test_other_interpolations_have_a_fallback_too(interpolation: str, tmp_path: Path) -> None:
    module, path = field("float32", interpolation), tmp_path / "m.onnx"
    batch = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (points(5),), path, dynamic_shapes=batch)
    same_everywhere(module, path, 50)
    x = points(4)
    x[2, 1] = np.nan
    for native in ("require", "off"):
        (found,) = Session(path, threads=1, native=native).run(x.numpy())
        assert np.array_equal(np.isnan(found).any(1), [False, False, True, False])


@pytest.mark.parametrize("table", TABLES)
def test_litert_runs_it(table: str, tmp_path: Path) -> None:
    """By the converter where it is installed, else by the direct writer."""
    module, path = field(table), tmp_path / "m.tflite"
    export_tflite(module, (points(20),), path)
    same_everywhere(module, path, 20)


def test_litert_s_file_holds_the_table_as_it_is_stored(tmp_path: Path) -> None:
    sizes = []
    for table in TABLES:
        export_tflite(field(table), (points(20),), tmp_path / "m.tflite")
        sizes.append((tmp_path / "m.tflite").stat().st_size)
    saved = field("float32")[0].table.nbytes * np.array([0.5, 0.75, 0.875])
    codebook = 256 * 2 * 4
    assert sizes[0] - np.array(sizes[1:]) == pytest.approx(saved - [0, 0, codebook], abs=512)
