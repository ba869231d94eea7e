"""Fourier neural operators (Li et al. 2020, arXiv 2010.08895) at a fixed size, on both engines."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from smalti.export import export_onnx, export_tflite
from smalti.export.verify import relative_error
from smalti.runtime import Session


def weights(width: int, *modes: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(width, width, *modes, dtype=torch.cfloat) / width)


class Line(nn.Module):
    """Lower modes are multiplied by weights, the others are zero."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.modes, self.weights = modes, weights(width, modes)

    def forward(self, x: Tensor) -> Tensor:
        bins = torch.fft.rfft(x)
        out = torch.zeros(*x.shape[:2], x.size(-1) // 2 + 1, dtype=torch.cfloat)
        low = bins[:, :, : self.modes]
        out[:, :, : self.modes] = torch.einsum("bix,iox->box", low, self.weights)
        return torch.fft.irfft(out, n=x.size(-1))


class Plane(nn.Module):
    """Two corners of the spectrum: low along x, low and high, which is negative, along y."""

    def __init__(self, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns
        self.low, self.high = weights(width, rows, columns), weights(width, rows, columns)

    def forward(self, x: Tensor) -> Tensor:
        n, m, (height, width) = self.rows, self.columns, x.shape[-2:]
        bins = torch.fft.rfft2(x)
        out = torch.zeros(*x.shape[:2], height, width // 2 + 1, dtype=torch.cfloat)
        out[:, :, :n, :m] = torch.einsum("bixy,ioxy->boxy", bins[:, :, :n, :m], self.low)
        out[:, :, -n:, :m] = torch.einsum("bixy,ioxy->boxy", bins[:, :, -n:, :m], self.high)
        return torch.fft.irfft2(out, s=(height, width))


class FNO(nn.Module):
    """Channels are lifted, pass two layers and are projected; the pointwise parts are 1x1 convs."""

    def __init__(self, width: int, modes: tuple[int, ...]) -> None:
        super().__init__()
        spectral, conv = (Line, nn.Conv1d) if len(modes) == 1 else (Plane, nn.Conv2d)
        self.lift, self.project = conv(2, width, 1), conv(width, 1, 1)
        self.layers = nn.ModuleList(spectral(width, *modes) for _ in range(2))
        self.skips = nn.ModuleList(conv(width, width, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.lift(x)
        for layer, skip in zip(self.layers, self.skips, strict=True):
            x = functional.gelu(layer(x) + skip(x))
        return self.project(x)


# sizes, modes, operators of ours in each layer: products with a basis where these are fewer work
CASES = {
    "line": ((64,), (12,), ()),
    "many modes": ((128,), (48,), ("RFFT", "IRFFT")),
    "long line": ((4100,), (8,), ("RFFT", "IRFFT")),
    "plane": ((32, 31), (4, 5), ()),
    "many columns": ((24, 90), (6, 40), ("RFFT", "IRFFT")),
    "many rows": ((100, 20), (40, 6), ("RFFT", "RFFT")),
}


def case(name: str) -> tuple[nn.Module, Tensor, Tensor, list[str]]:
    torch.manual_seed(0)
    sizes, modes, ours = CASES[name]
    module, x = FNO(6, modes).eval(), torch.randn(2, 2, *sizes)
    with torch.no_grad():
        return module, x, module(x), [*ours, *ours]


@pytest.mark.parametrize("name", CASES)
def test_onnx(name: str, tmp_path: Path) -> None:
    module, x, wanted, ours = case(name)
    dynamic = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=dynamic)
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    assert [node.op_type for node in nodes if node.domain == "smalti"] == ours
    for mode in ("require", "off") if ours else ("off",):
        (found,) = Session(tmp_path / "m.onnx", threads=2, native=mode).run(x.numpy())
        assert relative_error(found, wanted.numpy()) < 1e-6, mode


@pytest.mark.parametrize("name", ["line", "long line", "plane", "many rows"])
def test_tflite(name: str, tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="litert-torch: pip install 'smalti[tflite-export]'")
    module, x, wanted, ours = case(name)
    export_tflite(module, (x,), tmp_path / "m.tflite")
    session = Session(tmp_path / "m.tflite", threads=2)
    assert session.artifact.native_nodes == len(ours)
    assert relative_error(session.run(x.numpy())[0], wanted.numpy()) < 1e-6
