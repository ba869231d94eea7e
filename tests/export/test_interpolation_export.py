"""Interpolating operators in a module: the file runs with our kernels, and without them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from smalti.export import export_onnx
from smalti.export.verify import relative_error
from smalti.runtime import Session, native
from smalti.runtime.ops.grid_sample.op import grid_sample
from smalti.runtime.ops.irfft.op import irfft
from smalti.runtime.ops.resize.op import CUBIC, LINEAR, resize


class Warp(nn.Module):
    """Samples an image at every mode, resizes the sum, and takes its lines for spectra."""

    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        linear = grid_sample.call(x, grid, 0, 1, False, False)
        nearest = grid_sample.call(x, grid, 1, 0, True, False)
        last = grid_sample.call(x.permute(0, 2, 3, 1), grid, 2, 2, False, True)
        last = resize.call(last, [5, 7], LINEAR, True, True)
        wide = resize.call(
            linear + nearest + last.permute(0, 3, 1, 2), [10, 14], CUBIC, False, False
        )
        return irfft.call(wide.unflatten(-1, (7, 2)), 13)


class Volume(nn.Module):
    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return grid_sample.call(x, grid, 0, 2, True, False)


def example(axes: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    sizes = (5, 7, 6)[:axes]
    return torch.randn(2, 3, *sizes), 2.4 * torch.rand(2, *sizes, axes) - 1.2


@pytest.mark.parametrize("fallback", ["fold", "nofold"])
@pytest.mark.parametrize(("module", "axes"), [(Warp(), 2), (Volume(), 3)], ids=["warp", "volume"])
def test_kernels_and_fallback_give_what_the_module_gives(
    module: nn.Module, axes: int, fallback: str, tmp_path: Path
) -> None:
    path, given = tmp_path / "m.onnx", example(axes)
    export_onnx(module, given, path, fallback=fallback)
    onnx.checker.check_model(onnx.load(path))
    before = native.kernels_created()
    for mode, bound in (("require", 1e-6), ("off", 1e-5)):
        (found,) = Session(path, threads=2, native=mode).run(*(t.numpy() for t in given))
        assert relative_error(found, module(*given).numpy()) < bound
    nodes = onnx.load(path).graph.node
    assert native.kernels_created() - before == sum(node.domain == "smalti" for node in nodes) > 0


def test_batches_keep_their_name_and_may_vary(tmp_path: Path) -> None:
    batch = {0: torch.export.Dim("batch")}
    export_onnx(Warp(), example(2), tmp_path / "m.onnx", dynamic_shapes=(batch, batch))
    x, grid = (torch.cat([t, t, t]).numpy() for t in example(2))
    sessions = [Session(tmp_path / "m.onnx", threads=1, native=n) for n in ("require", "off")]
    assert sessions[0].outputs[0].shape == ("batch", 3, 10, 13)
    ours, fallback = (session.run(x, grid)[0] for session in sessions)
    assert relative_error(ours, fallback) < 1e-5
    assert np.array_equal(ours[:2], ours[4:])


def test_points_without_a_place_are_nan_in_the_fallback_too(tmp_path: Path) -> None:
    export_onnx(Volume(), example(3), tmp_path / "m.onnx")
    x, grid = (t.numpy() for t in example(3))
    grid[1, 0, 2, 3, 1] = np.nan
    for kernels in ("require", "off"):
        (found,) = Session(tmp_path / "m.onnx", threads=1, native=kernels).run(x, grid)
        assert np.isnan(found).sum() == 3, kernels
        assert np.isnan(found[1, :, 0, 2, 3]).all(), kernels


def test_kernels_allocate_nothing_after_warm_up(tmp_path: Path) -> None:
    export_onnx(Warp(), example(2), tmp_path / "m.onnx", fallback="none")
    session = Session(tmp_path / "m.onnx", threads=2)
    given = [t.numpy() for t in example(2)]
    for _ in range(20):
        session.run(*given)
    before = native.scratch_allocations()
    for _ in range(100):
        session.run(*given)
    assert native.scratch_allocations() == before
