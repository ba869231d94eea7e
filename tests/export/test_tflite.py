"""Export to LiteRT: by the converter and without it, checked against Torch and ONNX Runtime."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from torch import nn

from smalti.export import tflite, tflite_direct
from smalti.export.compare import compare
from smalti.export.functions import ConversionError
from smalti.export.recipe import load_recipe
from smalti.export.tflite import export_tflite
from smalti.export.tflite_model import TFLiteModel, text_of
from smalti.export.verify import relative_error
from smalti.quant import quantize_
from smalti.runtime import CheckError, Session
from smalti.runtime.artifact import open_artifact
from smalti.runtime.engine import InputError

needs_converter = pytest.mark.skipif(not find_spec("litert_torch"), reason="no litert-torch")


class Dense(nn.Module):
    """Two layers share a rotated input; one table; two outputs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(70, 96)
        self.left, self.right = nn.Linear(96, 128), nn.Linear(96, 128, bias=False)
        self.head = nn.Linear(128, 40)

    def forward(self, tokens, scale):
        x = self.table(tokens) * scale
        y = nn.functional.gelu(self.left(x)) + torch.tanh(self.right(x))
        return self.head(y), torch.softmax(y, -1)


ARGS = (torch.arange(12).reshape(2, 6), torch.rand(2, 6, 1))


def dense(activations="float"):
    module = Dense().eval()
    plan = {"table": "vq-1x16", "left": "vq-2x64-row", "right": "vq-2x256", "head": "vq-4x256"}
    return module, quantize_(module, plan, activations=activations)


@pytest.fixture(params=["converter", "direct"])
def writer(request, monkeypatch):
    if request.param == "converter":
        pytest.importorskip("litert_torch", exc_type=ImportError)
    else:
        monkeypatch.setattr(tflite, "_lower", lambda m, args: tflite_direct.write(m, args))
    return request.param


class Table(nn.Module):
    """Outputs in a dictionary, one of them an input; an input that nobody reads."""

    def forward(self, x, unused):
        return {"b": torch.relu(x), "a": x}


def test_outputs_keep_their_order(writer, tmp_path):
    args = torch.rand(2, 4) - 0.5, torch.rand(3)
    assert export_tflite(Table(), args, tmp_path / "m.tflite") == [0, 0]
    session = Session(tmp_path / "m.tflite")
    assert [p.name for p in session.inputs] == ["x", "unused"]
    assert [p.name for p in session.outputs] == ["output_0", "output_1"]


@pytest.mark.parametrize("activations", ["float", "int8"])
def test_the_file_equals_torch(writer, tmp_path, activations):
    module, layers = dense(activations)
    errors = export_tflite(module, ARGS, tmp_path / "m.tflite", layers=layers)
    assert len(errors) == 2 and max(errors) < (1e-5 if activations == "float" else 1e-2)
    session = Session(tmp_path / "m.tflite", threads=2)
    assert [p.name for p in session.inputs] == ["tokens", "scale"]
    assert [str(p.dtype) for p in session.inputs] == ["int64", "float32"]
    fresh = torch.arange(20, 32).reshape(2, 6), torch.rand(2, 6, 1)
    found = session.run(*(a.numpy() for a in fresh))
    for a, b in zip(found, module(*fresh), strict=True):
        assert relative_error(a, b.detach().numpy()) < (1e-5 if activations == "float" else 1e-2)


def test_layers_that_share_an_input_share_its_rotation(writer, tmp_path):
    module, layers = dense()
    export_tflite(module, ARGS, tmp_path / "m.tflite", layers=layers)
    model = TFLiteModel.read((tmp_path / "m.tflite").read_bytes())
    codes = [model.root.operatorCodes[o.opcodeIndex].customCode for o in model.graph.operators]
    assert codes.count(b"smalti.HadamardTransform") == 2
    assert codes.count(b"smalti.VQMatMul") == 3 and codes.count(b"smalti.VQGather") == 1


def test_packed_tensors_are_bytes_at_multiples_of_64(writer, tmp_path):
    module, layers = dense()
    path = tmp_path / "m.tflite"
    export_tflite(module, ARGS, path, layers=layers)
    content = path.read_bytes()
    root = schema.ModelT.InitFromPackedBuf(content, 0)
    for tensor in root.subgraphs[0].tensors:
        buffer = root.buffers[tensor.buffer]
        if text_of(tensor.name).endswith(".codes"):
            assert tensor.type == schema.TensorType.UINT8
            assert content[buffer.offset : buffer.offset + 4] == b"SMLT"
        assert buffer.data is None and buffer.offset % 64 == 0


def test_attributes_are_options_and_an_input_of_a_size_of_their_own(writer, tmp_path):
    module, layers = dense("int8")
    export_tflite(module, ARGS, tmp_path / "m.tflite", layers=layers)
    model = TFLiteModel.read((tmp_path / "m.tflite").read_bytes())
    by_size = {}
    for operator in model.graph.operators:
        if operator.customOptions is not None:
            options = bytes(operator.customOptions)
            carried = model.data(model.graph.tensors[operator.inputs[-1]]).tobytes()
            assert carried == options
            assert by_size.setdefault((operator.opcodeIndex, len(options)), options) == options
    assert sorted(flexbuffers.Loads(o)["out_features"] for o in by_size.values()
                  if b"out_features" in o) == [40, 128, 128]  # fmt: skip


def test_the_manifest_knows_every_byte_of_the_weights(writer, tmp_path):
    module, layers = dense()
    path = tmp_path / "m.tflite"
    export_tflite(module, ARGS, path, layers=layers)
    artifact = open_artifact(path)
    assert [layer["name"] for layer in artifact.manifest["layers"]] == [r.name for r in layers]
    assert set(artifact.manifest["tensors"]) == set(artifact.tensors) and not artifact.damaged()
    content = bytearray(path.read_bytes())
    content[content.index(module.left.codes.numpy().tobytes()) + 100] ^= 1
    path.write_bytes(content)
    assert open_artifact(path).damaged() == ["left.codes"]


def test_a_file_that_differs_is_not_written(writer, tmp_path, monkeypatch):
    module, layers = dense()
    monkeypatch.setattr(tflite, "FLOAT_TOLERANCE", 1e-12)
    with pytest.raises(CheckError, match="nothing was written"):
        export_tflite(module, ARGS, tmp_path / "m.tflite", layers=layers)
    assert list(tmp_path.iterdir()) == []


def test_shapes_are_fixed(writer, tmp_path):
    module, layers = dense()
    export_tflite(module, ARGS, tmp_path / "m.tflite", layers=layers)
    session = Session(tmp_path / "m.tflite")
    with pytest.raises(InputError, match=r"pass int64 \[2, 6\]"):
        session.run(np.zeros((3, 6), np.int64), np.zeros((2, 6, 1), np.float32))


def test_what_the_direct_writer_lacks_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(tflite, "find_spec", lambda name: name != "litert_torch" or None)
    with pytest.raises(ConversionError, match=r"uses aten.conv2d.*pip install 'smalti\[tflite"):
        export_tflite(nn.Sequential(nn.Conv2d(1, 2, 3)), (torch.rand(1, 1, 5, 5),), tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


@needs_converter
def test_what_the_converter_lacks_is_named(tmp_path):
    class Bessel(nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x)

    with pytest.raises(ConversionError, match=r"cannot convert the model: \w+: .*change that op"):
        export_tflite(Bessel(), (torch.rand(2, 3),), tmp_path / "m.tflite")
    assert list(tmp_path.iterdir()) == []


@needs_converter
@pytest.mark.parametrize("activations", ["float", "int8"])
def test_both_engines_agree_layer_by_layer(recipe, exported, tmp_path, activations):
    onnx, module = exported(activations=activations, fallback="none")
    args = load_recipe(str(recipe)).example_inputs()
    export_tflite(module, args, tmp_path / "m.tflite")
    found = compare(onnx, tmp_path / "m.tflite", {"tokens": args[0].numpy()})
    assert {"embed", "conv", "hidden", "head", "output 0"} <= {d.layer for d in found}
    assert all(d.error < (1e-5 if activations == "float" else 1e-2) for d in found), found
