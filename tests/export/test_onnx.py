import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from smalti.export import export_onnx
from smalti.export.verify import relative_error
from smalti.quant import quantize_
from smalti.runtime import CheckError, Session


def run(path, tokens, **options):
    return Session(path, threads=1, **options).run(tokens.numpy())[0]


@pytest.mark.parametrize("form", ["vq-1x16", "vq-2x16-row", "vq-2x64", "vq-2x256", "vq-4x256-g64"])
def test_native_equals_torch_in_float_mode(exported, tokens, form):
    path, module = exported(form=form, fallback="none")
    assert relative_error(run(path, tokens), module(tokens).detach().numpy()) < 1e-4


def test_native_equals_torch_in_int8_mode(exported, tokens):
    path, module = exported(activations="int8", fallback="none")
    assert relative_error(run(path, tokens), module(tokens).detach().numpy()) < 1e-2


@pytest.mark.parametrize("fallback", ["fold", "nofold"])
def test_the_fallback_equals_torch_on_a_stock_engine(exported, tokens, fallback):
    path, module = exported(fallback=fallback)
    found = run(path, tokens, native="off")
    assert relative_error(found, module(tokens).detach().numpy()) < 1e-4


def test_the_fallback_equals_torch_in_int8_mode(exported, tokens):
    path, module = exported(form="vq-1x16-g64", activations="int8")
    found = run(path, tokens, native="off")
    assert relative_error(found, module(tokens).detach().numpy()) < 1e-2


def test_the_file_is_standard_onnx(exported):
    path, _ = exported()
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert model.ir_version == 10
    assert {o.domain: o.version for o in model.opset_import} == {"": 21, "smalti": 1}
    assert {n.op_type for n in model.graph.node if n.domain == "smalti"} == {
        "HadamardTransform",
        "VQMatMul",
        "VQConv",
        "VQGather",
    }
    codes = [t for t in model.graph.initializer if t.name.endswith(".codes")]
    assert codes and all(t.data_type == onnx.TensorProto.UINT8 for t in codes)


def test_dimensions_keep_their_names(exported):
    path, _ = exported()
    session = Session(path)
    assert session.inputs[0].shape == ("batch", "sequence")
    assert session.outputs[0].shape == ("batch", 10)


def test_stacks_and_paths_of_the_author_stay_at_home(exported):
    path, _ = exported()
    home = re.escape(str(Path.home()).encode())
    assert not re.search(rb"stack_trace|\.py|" + home, path.read_bytes())


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v = (nn.Linear(128, 64) for _ in range(3))

    def forward(self, x):
        return self.q(x) + self.k(x) * self.v(x)


def test_a_shared_activation_is_rotated_once(tmp_path):
    module = Shared()
    quantize_(module, "vq-2x64")
    export_onnx(module, (torch.randn(2, 128),), tmp_path / "m.onnx", fallback="none")
    kinds = [n.op_type for n in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds.count("HadamardTransform") == 1
    assert kinds.count("VQMatMul") == 3


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(256, 64), nn.Linear(64, 256, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.embed(tokens)))


def test_tied_weights_are_stored_once(tmp_path):
    module = Tied()
    quantize_(module, "vq-1x16")
    export_onnx(module, (torch.arange(6),), tmp_path / "m.onnx", fallback="none")
    names = [t.name for t in onnx.load(tmp_path / "m.onnx").graph.initializer]
    assert sum(name.endswith(".codes") for name in names) == 1


def test_large_weights_go_beside_the_model(exported, tokens):
    inside, _ = exported(fallback="none")
    path, module = exported(fallback="none", external_above=1000)
    assert path.stat().st_size < inside.stat().st_size
    assert path.with_name(f"{path.name}.data").is_file()
    assert relative_error(run(path, tokens), module(tokens).detach().numpy()) < 1e-4
    assert Session(path).artifact.damaged() == []


class Liar(nn.Module):
    """Gives Torch something else than what it traces."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, x):
        y = self.linear(x)
        return y if torch.compiler.is_compiling() else y + 1.0


def test_a_file_that_differs_from_torch_is_refused_and_removed(tmp_path):
    with pytest.raises(CheckError, match="is off by .*nothing was written"):
        export_onnx(Liar(), (torch.randn(2, 64),), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_survives_a_failed_export(tmp_path):
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(CheckError):
        export_onnx(Liar(), (torch.randn(2, 64),), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_text() == "old"


def test_training_modes_are_put_back(tmp_path):
    module = nn.Sequential(nn.Linear(64, 64), nn.Dropout(), nn.BatchNorm1d(64))
    module[2].eval()
    export_onnx(module, (torch.randn(4, 64),), tmp_path / "m.onnx")
    assert [m.training for m in module] == [True, True, False]


def test_unknown_fallbacks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="fallback='maybe'; use one of fold"):
        export_onnx(nn.Linear(4, 4), (torch.randn(1, 4),), tmp_path / "m.onnx", fallback="maybe")


SCRIPT = """
import sys, torch
from smalti.export import export_onnx
from smalti.export.recipe import load_recipe
from smalti.quant import quantize_
recipe = load_recipe(sys.argv[1])
module = recipe.model()
layers = quantize_(module, "vq-2x64")
export_onnx(module, recipe.example_inputs(), sys.argv[2], layers=layers,
            dynamic_shapes=recipe.dynamic_shapes())
"""


def test_the_same_model_gives_the_same_bytes(recipe, tmp_path):
    digests = set()
    for seed in ("1", "2"):
        path = tmp_path / seed / "m.onnx"
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, str(recipe), str(path)],
            check=True,
            env={**__import__("os").environ, "PYTHONHASHSEED": seed},
        )
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_empty_and_single_batches_run(exported):
    path, _ = exported(fallback="none")
    session = Session(path)
    assert session.run(np.zeros((1, 1), np.int64))[0].shape == (1, 10)
    assert session.run(np.zeros((0, 4), np.int64))[0].shape == (0, 10)
