"""LookupTable and LookupActivation: every byte, every engine."""

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite, tflite, tflite_direct
from smalti.runtime import Session, native
from smalti.runtime.native import NativeError
from smalti.runtime.ops.lookup_table.module import LookupActivation

FUNCTIONS = {
    "tanh": (np.tanh, (-4.0, 4.0)),
    "snake": (lambda x: x + np.sin(3 * x) ** 2 / 3, (-2.0, 5.0)),
    "step": (lambda x: (x > 0.3) * 1.0, (-1.0, 1.0)),
    "constant": (lambda x: 0 * x + 2.5, (0.0, 1.0)),
}


@pytest.mark.parametrize("size", [0, 1, 7, 31, 32, 33, 63, 100, 1000])
@pytest.mark.parametrize("isa", native.isas())
def test_every_byte_at_every_place(isa, size):
    rng = np.random.default_rng(size)
    table = rng.permutation(np.arange(-128, 128)).astype(np.int8)
    with native.forced_isa(isa):
        for shift in range(0, 256, 37):
            x = (np.arange(size) + shift).astype(np.uint8).view(np.int8)
            found = native.run_op("LookupTable", [x, table], {})
            assert found.dtype == np.int8
            assert np.array_equal(found, table[x.astype(int) + 128])


@pytest.mark.parametrize(
    ("shape", "told"), [((255,), "rank 1, 255"), ((), "rank 0, 1"), ((2, 256), "rank 2, 2")]
)
def test_other_tables_are_refused(shape, told):
    with pytest.raises(NativeError, match=f"table: {told} entries; pass 256"):
        native.run_op("LookupTable", [np.zeros(4, np.int8), np.zeros(shape, np.int8)], {})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_the_function_s_quantized_value_for_all_256_inputs(name):
    function, (low, high) = FUNCTIONS[name]
    activation = LookupActivation(function, (low, high))
    x = activation.x_step * (np.arange(-128, 128) - activation.x_zero)
    assert x[0] == pytest.approx(low, abs=activation.x_step / 2 + 1e-6)
    assert x[-1] == pytest.approx(high, abs=activation.x_step / 2 + 1e-6)
    codes = (np.rint(function(x) / activation.y_step) + activation.y_zero).clip(-128, 127)
    wanted = activation.y_step * (codes - activation.y_zero)
    found = activation(torch.from_numpy(x.astype(np.float32))).numpy()
    assert np.array_equal(found, wanted.astype(np.float32))
    assert np.abs(found - function(x)).max() <= 0.51 * activation.y_step + 1e-6


def test_what_is_beyond_becomes_the_ends():
    activation = LookupActivation(np.tanh, (-2.0, 2.0), (-0.5, 0.5))
    found = activation(torch.tensor([-9.0, 9.0, -float("inf"), float("inf")]))
    assert found.numpy() == pytest.approx([-0.5, 0.5, -0.5, 0.5], abs=0.01)


@pytest.mark.parametrize(
    ("function", "x_range", "message"),
    [
        (np.tanh, (1.0, 1.0), "range: from 1.0 to 1.0"),
        (np.log, (-1.0, 1.0), "function: not finite"),
    ],
)
def test_what_has_no_table_is_refused(function, x_range, message):
    with pytest.raises(ValueError, match=message), np.errstate(all="ignore"):
        LookupActivation(function, x_range)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), LookupActivation(*FUNCTIONS["snake"]), nn.Linear(40, 5))


def off(found, module, x):
    with torch.no_grad():
        wanted = module(x).numpy()
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_onnx_with_kernels_and_without(tmp_path):
    module, x = net(), torch.randn(9, 6)
    batch = ({0: torch.export.Dim("batch")},)
    export_onnx(module, (x,), tmp_path / "m.onnx", dynamic_shapes=batch)
    for kernels in ("require", "off"):
        (found,) = Session(tmp_path / "m.onnx", threads=1, native=kernels).run(x[:5].numpy())
        assert off(found, module, x[:5]) <= 1e-5


@pytest.mark.parametrize("writer", ["direct", "converter"])
def test_litert(writer, tmp_path, monkeypatch):
    if writer == "converter":
        pytest.importorskip("litert_torch", exc_type=ImportError)
    else:
        monkeypatch.setattr(tflite, "_lower", lambda m, args: tflite_direct.write(m, args))
    module, x = net(), torch.randn(9, 6)
    export_tflite(module, (x,), tmp_path / "m.tflite")
    assert off(Session(tmp_path / "m.tflite", threads=2).run(x.numpy())[0], module, x) <= 1e-5
