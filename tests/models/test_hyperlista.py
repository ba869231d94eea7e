"""HyperLISTA at a tiny size: what its matrices are, that it converges, and in both engines."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from smalti.export import export_onnx, export_tflite, fold_
from smalti.models import hyperlista
from smalti.quant import quantize_
from smalti.runtime import Session


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    sizes = {"MEASUREMENTS": 64, "LENGTH": 128, "LAYERS": 4, "SWEEPS": 1, "TUNED": 32, "TESTED": 8}
    for name, value in sizes.items():
        monkeypatch.setattr(hyperlista, name, value)
    return tmp_path


def torch_run(module: torch.nn.Module) -> hyperlista.Run:
    return lambda b: [module(torch.from_numpy(b)).detach().numpy()]


def test_w_is_less_coherent_than_a_by_welchs_bound() -> None:
    a = hyperlista.dictionary().double()
    m, n = a.shape
    torch.testing.assert_close(a.norm(dim=0), torch.ones(n).double())
    w = hyperlista.HyperLISTA(a.float()).back.weight.double()
    gram = w @ a  # W'A, symmetric: (GA)'(GA)
    torch.testing.assert_close(gram, gram.T, atol=1e-5, rtol=0)
    assert abs(gram.trace() - n) < 1e-3
    assert gram.square().sum() == pytest.approx(n * n / m, rel=1e-5)  # the least for this trace
    assert gram.square().sum() < 0.7 * (a.T @ a).square().sum()


def test_every_layer_takes_the_error_down() -> None:
    module = hyperlista.HyperLISTA(hyperlista.dictionary())
    x, b = hyperlista.signals(16, seed=3)
    with torch.no_grad():
        found = hyperlista.nmse(module(b).numpy(), x.numpy())
    assert (np.diff(found) < -2).all() and found[-1] < -70


def test_the_largest_part_escapes_the_threshold() -> None:
    module = hyperlista.HyperLISTA(hyperlista.dictionary())
    z = torch.randn(5, hyperlista.LENGTH)
    first, missing = torch.full((5, 1), 100.0), torch.full((5, 1), 10.0)
    theta, part = hyperlista.START[0] * 10, hyperlista.START[2] * math.log(10)
    with torch.no_grad():
        found = module._shrunk(z, missing, first)
    edge = torch.quantile(z.abs(), 1 - part, dim=1, keepdim=True, interpolation="nearest")
    wanted = torch.where(z.abs() >= edge, z, z.sign() * (z.abs() - theta).relu())
    torch.testing.assert_close(found, wanted)


def test_the_search_finds_no_worse_hyperparameters(tiny: Path) -> None:
    untuned = hyperlista.HyperLISTA(hyperlista.dictionary())
    x, b = hyperlista.signals(hyperlista.TUNED, seed=1)
    with torch.no_grad():
        before, after = (
            hyperlista.nmse(m(b).numpy(), x.numpy())[-1] for m in (untuned, hyperlista.model())
        )
    assert after < before


def test_both_engines_estimate_what_torch_does(tiny: Path) -> None:
    module, inputs = hyperlista.model(), hyperlista.example_inputs()
    wanted = hyperlista.evaluate(torch_run(module))["nmse"]
    assert fold_(module, inputs) == []
    shapes = hyperlista.dynamic_shapes()
    assert max(export_onnx(module, inputs, tiny / "m.onnx", dynamic_shapes=shapes)) < 1e-4
    assert max(export_tflite(module, inputs, tiny / "m.tflite")) < 1e-4
    for file in ("m.onnx", "m.tflite"):
        found = Session(tiny / file, threads=1)
        assert hyperlista.evaluate(found.run)["nmse"] == pytest.approx(wanted, rel=1e-3)


def test_layers_share_one_quantized_matrix(tiny: Path) -> None:
    module = hyperlista.model()
    layers = quantize_(module, "vq-2x64-g128")
    assert {layer.name: layer.format for layer in layers} == {
        "measure": "float",
        "back": "vq-2x64-g128",
    }
    wanted = hyperlista.evaluate(torch_run(module))["nmse"]
    export_onnx(module, hyperlista.example_inputs(), tiny / "m.onnx", layers=layers)
    graph = onnx.load(tiny / "m.onnx").graph
    codes = {node.input[1] for node in graph.node if node.op_type == "VQMatMul"}
    assert len(codes) == 1
    found = Session(tiny / "m.onnx", threads=1)
    assert hyperlista.evaluate(found.run)["nmse"] == pytest.approx(wanted, abs=0.2)


def test_the_picture_shows_the_error_after_each_layer(tiny: Path) -> None:
    run = torch_run(hyperlista.HyperLISTA(hyperlista.dictionary()))
    (axes,) = hyperlista.picture({"float": run}).axes
    assert len(axes.lines[0].get_ydata()) == hyperlista.LAYERS
