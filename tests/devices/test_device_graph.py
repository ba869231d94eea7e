"""Graphs of exported files, beside what Torch and the engines say of the same model."""

import pytest
import tflite_files
import torch
from torch import nn

from smalti.devices import open_graph, predict, read_device
from smalti.devices.work import works
from smalti.export import export_onnx
from smalti.quant import quantize_


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.wide = nn.Conv2d(32, 96, 1)
        self.head = nn.Linear(96, 40)

    def forward(self, x):
        y = self.wide(torch.relu(self.deep(torch.relu(self.conv(x)))))
        return torch.softmax(self.head(y.mean((2, 3))), -1)


MACS = {
    "conv": 5 * 32 * 8 * 8 * 27,
    "deep": 5 * 32 * 8 * 8 * 9,
    "wide": 5 * 96 * 8 * 8 * 32,
    "head": 5 * 40 * 96,
}


@pytest.fixture(scope="module", params=["float", "vq-2x64", "int8"])
def graph(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "net.onnx"
    module = Net().eval()
    layers = quantize_(module, request.param)
    batch = torch.export.Dim("batch")
    export_onnx(
        module, (torch.randn(2, 3, 16, 16),), path, layers=layers, dynamic_shapes=({0: batch},)
    )
    return request.param, open_graph(path, {"batch": 5})


def test_multiply_adds_are_those_of_the_layers(graph):
    _, found = graph
    macs = {}
    for work in works(found):
        if work.macs:
            macs[work.node.layer] = macs.get(work.node.layer, 0) + work.macs
    assert macs == MACS


def test_kinds_follow_the_format(graph):
    form, found = graph
    kinds = {w.node.layer: {p.kind for p in w.parts} for w in works(found) if w.macs}
    assert kinds["deep"] == {"depthwise"}
    expected = {"float": {"float"}, "vq-2x64": {"vq-2x64"}, "int8": {"int8"}}[form]
    assert kinds["head"] == expected
    assert ("patch" in kinds["wide"]) == (form == "vq-2x64")


def test_sizes_of_the_export_are_the_default(graph):
    _, found = graph
    assert found.values[found.outputs[0]].shape == (5, 40)
    again = open_graph(found.path)
    assert again.values[again.outputs[0]].shape == (2, 40)


def test_fewer_bits_are_faster_where_memory_is_slow(tmp_path):
    times = {}
    for form in ("float", "vq-1x16", "vq-2x16"):
        module = nn.Sequential(nn.Linear(1024, 1024)).eval()
        path = tmp_path / f"{form}.onnx"
        layers = quantize_(module, form)
        export_onnx(module, (torch.randn(1, 1024),), path, layers=layers)
        found = predict(open_graph(path), read_device("rpi-zero2w"))
        times[form] = found.ms
        assert found.memory.weights == pytest.approx(path.stat().st_size, rel=0.1)
    assert times["float"] > times["vq-1x16"] >= times["vq-2x16"]


def test_a_tflite_file_has_the_same_kinds_of_work(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(tflite_files.packed(tflite_files.dense()))
    found = open_graph(path)
    dense, rotation = works(found)
    assert (dense.node.op, dense.parts) == ("FullyConnected", (("float", 32, 1),))
    assert (rotation.node.op, rotation.parts) == ("smalti.HadamardTransform", (("rotate", 4, 0),))
    assert dense.weights == 4 * 32
    memory = predict(found, read_device("rpi4")).memory
    assert (memory.weights, memory.activations) == (4 * 32, 4 * (8 + 4 + 4))
