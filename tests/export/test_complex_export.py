"""Modules written with torch.fft and complex weights: both engines give what they give."""

from contextlib import nullcontext

import onnx
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite, tflite, tflite_direct
from smalti.export import onnx as onnx_target
from smalti.export.functions import ConversionError
from smalti.export.verify import relative_error
from smalti.runtime import Session

LENGTH, AHEAD, KEPT = 80, 30, 36  # more bins than a product with a basis takes


class Frequencies(nn.Module):
    """As FITS: the lower bins, through a complex layer, to those of a longer series."""

    def __init__(self):
        super().__init__()
        self.ratio = (LENGTH + AHEAD) / LENGTH
        self.bins = int(KEPT * self.ratio)
        self.layer = nn.Linear(1, 1)
        self.layer.weight = nn.Parameter(torch.randn(self.bins, KEPT, dtype=torch.cfloat) / 6)
        self.layer.bias = nn.Parameter(torch.randn(self.bins, dtype=torch.cfloat))

    def forward(self, x):
        low = torch.fft.rfft(x, dim=1)
        low[:, KEPT:] = 0
        low = low[:, 0:KEPT, :]
        wide = self.layer(low.permute(0, 2, 1)).permute(0, 2, 1)
        padded = torch.zeros([x.size(0), (LENGTH + AHEAD) // 2 + 1, x.size(2)], dtype=low.dtype)
        padded[:, 0 : wide.size(1), :] = wide
        return torch.fft.irfft(padded, dim=1) * self.ratio


class Cosines(nn.Module):
    """DCT-II (Makhoul 1980): the even samples, the odd ones backwards, and a turn of the bins."""

    def forward(self, x):
        n = x.shape[-1]
        bins = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
        return 2 * (bins * torch.exp(-0.5j * torch.pi * torch.arange(n) / n)).real


CASES = {  # module, input, smalti nodes
    "frequencies": (Frequencies, (2, LENGTH, 3), 2),
    "cosines": (Cosines, (4, 16), 0),
}


def case(name):
    torch.manual_seed(0)
    make, shape, nodes = CASES[name]
    module, x = make().eval(), torch.randn(*shape)
    with torch.no_grad():
        return module, x, module(x).numpy(), nodes


@pytest.mark.parametrize("name", CASES)
def test_onnx(name, tmp_path):
    module, x, wanted, nodes = case(name)
    dynamic = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=dynamic)
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert sum(node.domain == "smalti" for node in graph.node) == nodes
    for mode in ("require", "off"):
        (found,) = Session(tmp_path / "m.onnx", threads=2, native=mode).run(x.numpy())
        assert relative_error(found, wanted) < 1e-6, mode


def test_tflite(tmp_path):
    pytest.importorskip("litert_torch", exc_type=ImportError)
    module, x, wanted, _ = case("frequencies")
    export_tflite(module, (x,), tmp_path / "m.tflite")
    (found,) = Session(tmp_path / "m.tflite", threads=2).run(x.numpy())
    assert relative_error(found, wanted) < 1e-6


class Bins(nn.Module):
    """Only what a file can have without the converter: transforms, and a layer between them."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(KEPT, 56, dtype=torch.cfloat)

    def forward(self, x):
        return torch.fft.irfft(self.layer(torch.fft.rfft(x)[..., :KEPT]), LENGTH + AHEAD)


def test_tflite_without_the_converter(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "_lower", lambda m, args: tflite_direct.write(m, args))
    module, x = Bins().eval(), torch.randn(2, 3, LENGTH)
    export_tflite(module, (x,), tmp_path / "m.tflite")
    session = Session(tmp_path / "m.tflite", threads=2)
    assert relative_error(session.run(x.numpy())[0], module(x).detach().numpy()) < 1e-6
    assert session.artifact.native_nodes == 2


def test_transforms_have_a_fixed_length(tmp_path):
    module, dynamic = nn.Sequential(Bins()), ({2: torch.export.Dim("length")},)
    with pytest.raises(ConversionError, match="^0: a transform of any length; let dynamic_shapes"):
        export_onnx(module, (torch.randn(2, 3, 80),), tmp_path / "m.onnx", dynamic_shapes=dynamic)


def test_refusals_name_the_layer(tmp_path):
    class Odd(nn.Module):
        def forward(self, x):
            return torch.linalg.norm(torch.fft.rfft(x), dim=-1)

    module = nn.Sequential(nn.ReLU(), Odd())
    for export, name in ((export_onnx, "m.onnx"), (export_tflite, "m.tflite")):
        with pytest.raises(ConversionError, match=r"^1: \w*norm of complex numbers has no form"):
            export(module, (torch.randn(2, 8),), tmp_path / name)


def test_models_in_reals_are_what_they_were(tmp_path, monkeypatch):
    module = nn.Sequential(nn.Conv1d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(24, 5)).eval()
    x = torch.randn(2, 3, 8)
    export_onnx(module, (x,), tmp_path / "a.onnx")
    monkeypatch.setattr(onnx_target, "in_reals", lambda module, args: nullcontext())
    export_onnx(module, (x,), tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
