"""Plans for LiteRT: integer formats by its own quantizer, and the commands on `.tflite` files."""

import json

import numpy as np
import pytest
import torch
from test_cli import smalti
from torch import nn

from smalti.export.target import TFLite, target_for
from smalti.export.tflite import export_tflite
from smalti.export.tflite_model import TFLiteModel
from smalti.quant import quantize_
from smalti.quant.plan import Plan, PlanError
from smalti.runtime import Session
from smalti.runtime.artifact import open_artifact
from smalti.runtime.format import BlockFormat
from smalti.runtime.ops.grid_encode.module import GridEncoding


def module():
    return nn.Sequential(nn.Linear(64, 64), nn.Embedding(64, 64), nn.Conv2d(4, 4, 3))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"0": "nf4"}, "LiteRT has no nf4-g64; use a vq format, int8 or int4"),
        ({"0": "int2"}, "LiteRT has no int2"),
        ({"1": "int8"}, "stores no Embedding in int8"),
        ({"2": "int4"}, "no convolution in int4"),
    ],
)
def test_formats_that_litert_lacks_are_refused(plan, message):
    with pytest.raises(PlanError, match=message):
        TFLite().share(Plan.of(plan), module())


def test_integer_formats_are_left_to_litert():
    plan, engine = TFLite().share(Plan.of({"*": "vq-2x64", "0": "int4-g32"}), module())
    assert {name: str(form) for name, form in engine.items()} == {"0": "int4-g32"}
    assert plan.format_of("0") is None and str(plan.format_of("1")) == "vq-2x64-g128"


def test_the_suffix_decides_unless_told():
    assert isinstance(target_for(None, "a.tflite", None), TFLite)
    assert isinstance(target_for("tflite", "a.bin", None), TFLite)
    assert not isinstance(target_for(None, "a.onnx", None), TFLite)
    with pytest.raises(PlanError, match="no fallback"):
        target_for(None, "a.tflite", "fold")


@pytest.fixture(scope="module")
def files(recipe, tmp_path_factory):
    pytest.importorskip("litert_torch", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("tflite")
    plan = ["--format", "vq-2x64", "--format", "hidden=int4-g32", "--format", "head=float"]
    report = smalti("export", recipe, *plan, "-o", folder / "q.tflite", "--json")
    smalti("export", recipe, "--format", "float", "--to", "tflite", "-o", folder / "f.tflite")
    vq = ["--format", "vq-2x64", "--format", "head=float"]
    smalti("export", recipe, *vq, "-o", folder / "v.onnx")
    smalti("export", recipe, *vq, "-o", folder / "v.tflite")
    return folder, json.loads(report)


def test_export_reports_what_each_quantizer_made(files):
    _, report = files
    layers = {layer["name"]: layer for layer in report["layers"]}
    assert layers["hidden"]["format"] == "int4-g32"
    assert layers["hidden"]["bits_per_weight"] == pytest.approx(4.5)
    assert 0.001 < layers["hidden"]["error"] < 0.02
    assert layers["conv"]["format"] == "vq-2x64-g128" and layers["head"]["format"] == "float"
    assert 1e-3 < report["errors"][0] < 0.5
    (weight,) = open_artifact(files[0] / "q.tflite").quantized
    assert weight.startswith("hidden.")


def test_files_of_both_engines_compare(files):
    folder, _ = files
    rows = json.loads(smalti("compare", folder / "v.onnx", folder / "v.tflite", "--json"))
    assert {"conv", "hidden", "head", "output 0"} <= {row["layer"] for row in rows}
    assert "part at hidden" in smalti("compare", folder / "v.tflite", folder / "q.tflite", code=1)


def test_run_bench_and_inspect(files):
    folder, _ = files
    rows = json.loads(smalti("run", folder / "q.tflite", "-o", folder, "--json"))
    assert np.load(folder / f"{rows[0]['output']}.npy").shape == (2, 10)
    times = json.loads(
        smalti("bench", folder / "v.tflite", "--baseline", folder / "f.tflite", "--seconds", 0.05,
               "--json")
    )  # fmt: skip
    assert times[0]["file_mb"] > times[1]["file_mb"] and times[0]["ratio"] == 1
    assert "give --baseline" in smalti("bench", folder / "v.tflite", code=2)
    assert "ai-edge-litert" in smalti("inspect", folder / "v.tflite")


def test_a_flipped_bit_is_found(files, tmp_path):
    content = bytearray((files[0] / "v.tflite").read_bytes())
    content[content.index(b"SMLT") + 80] ^= 1
    (tmp_path / "bad.tflite").write_bytes(content)
    assert "damaged weights" in smalti("inspect", tmp_path / "bad.tflite", code=3)
    (tmp_path / "cut.tflite").write_bytes(content[:-70])
    assert "not a sound TFLite file" in smalti("run", tmp_path / "cut.tflite", code=3)


def test_without_our_library_there_is_no_way(files):
    assert "has no fallback" in smalti("run", files[0] / "v.tflite", "--native", "off", code=4)


def test_an_index_out_of_range_is_named(files):
    session = Session(files[0] / "v.tflite")
    with pytest.raises(Exception, match=r"VQGather.*indices: 64 at position 3 is outside 0 .. 63"):
        session.run(np.array([[0, 1, 2, 64, 0, 0]] * 2))
    good = session.run(torch.arange(12).reshape(2, 6).numpy())[0]
    assert np.isfinite(good).all()


class Folded(nn.Module):
    """Convolutions that the converter merges with what follows them, and that run in turn."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(24, 10)
        self.stem = nn.Sequential(nn.Conv2d(8, 24, 3, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.deep = nn.Conv2d(24, 24, 3, groups=24)

    def forward(self, x):
        return self.head(self.deep(self.stem(x)).mean((2, 3)))


def test_layers_are_found_behind_what_they_are_merged_with(tmp_path):
    pytest.importorskip("litert_torch", exc_type=ImportError)
    net, form = Folded().eval(), BlockFormat.parse("int8")
    layers = quantize_(net, {"*": "float"})
    args = (torch.rand(1, 8, 9, 9),)
    chosen = {"stem.0": form, "head": form}
    errors = export_tflite(net, args, tmp_path / "m", layers=layers, engine_formats=chosen)
    assert 1e-6 < errors[0] < 0.02
    stored = {e["name"]: e for e in open_artifact(tmp_path / "m").manifest["layers"]}
    assert stored["stem.0"]["bytes"] == 24 * 8 * 9 + 4 * 24 and stored["head"]["bytes"] == 280
    assert stored["deep"]["format"] == "float"
    assert all(1e-6 < stored[name]["error"] < 1e-4 for name in chosen)


class Twice(nn.Module):
    """One table read at two places, so that one layer makes two tensors."""

    def __init__(self):
        super().__init__()
        self.grid, self.classes = GridEncoding(2, (5, 9)), nn.Linear(8, 16)

    def forward(self, x):
        return self.classes(torch.cat([self.grid(x), self.grid(x.square())], 1))


def test_a_layer_that_is_called_twice_can_be_quantized(tmp_path):
    model, x, path = Twice(), (torch.rand(6, 2),), tmp_path / "m.tflite"
    _, formats = TFLite().share(Plan.of({"classes": "int8"}), model)
    (error,) = export_tflite(model, x, path, engine_formats=formats)
    assert 0 < error < 0.02
    names = [bytes(t.name) for t in TFLiteModel.read(path.read_bytes()).graph.tensors]
    assert len(set(names)) == len(names)
