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

# Of each kind one.
FIELDS = (
    ("float32", "linear"),
    ("float16", "nearest"),
    ("int8", "smoothstep"),
    ("vq-2x256", "simplex"),
)


def field(table: str, interpolation: str) -> nn.Module:
    """Dense and hashed levels, then a dense layer."""
    torch.manual_seed(0)
    grid = GridEncoding(3, resolutions(4, 1.7, 4), 4, 8, interpolation, align_corners=False)
    nn.init.normal_(grid.table)
    if table == "float16":
        grid.table = nn.Parameter(grid.table.detach().half(), requires_grad=False)
    elif table != "float32":
        quantize_table_(grid, table)
    return nn.Sequential(grid, nn.Linear(16, 3)).eval()


class Fields(nn.Module):
    """The sum of all: quicker to export than one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.fields = nn.ModuleList(field(*kind) for kind in FIELDS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *others = (part(x) for part in self.fields)
        return sum(others, first)


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    module = Fields().eval()
    path = tmp_path_factory.mktemp("grids") / "m.onnx"
    batch = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (points(5),), path, dynamic_shapes=batch)
    return module, path


@pytest.mark.parametrize("native", ["require", "off"])
def test_onnx_runs_with_our_kernel_and_without_it(
    native: str, exported: tuple[nn.Module, Path]
) -> None:
    module, path = exported
    session, x = Session(path, threads=2, native=native), points(50)
    x[2, 1] = np.nan
    (found,) = session.run(x.numpy())
    lost = np.arange(50) == 2
    assert np.array_equal(np.isnan(found).any(1), lost)
    assert relative_error(found[~lost], module(x).detach().numpy()[~lost]) < 1e-5
    assert session.run(points(0).numpy())[0].shape == (0, 3)


def test_litert_runs_it_on_tables_as_they_are_stored(tmp_path: Path) -> None:
    """By the converter where it is installed, else by the direct writer."""
    module, path, x = Fields().eval(), tmp_path / "m.tflite", points(20)
    export_tflite(module, (x,), path)
    (found,) = Session(path, threads=2).run(x.numpy())
    assert relative_error(found, module(x).detach().numpy()) < 1e-5
    content = path.read_bytes()
    for part in module.fields:
        assert part[0].table.detach().numpy().tobytes() in content
