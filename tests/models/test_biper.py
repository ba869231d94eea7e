"""The recipes of one bit and of its twin at a tiny size, on images that are made up."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite, fold_
from smalti.export.verify import relative_error
from smalti.models import biper, biper_float, fashion
from smalti.runtime import Session
from smalti.runtime.ops.binary_conv.module import BinaryConv2d, PackedBinaryConv2d


def bars(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Data of ten classes that anyone can learn: a bright row of its own each."""
    labels = np.arange({"train": 640, "t10k": 40}[part]) % 10
    images = np.random.default_rng(0).random((len(labels), 1, 28, 28), np.float32) / 8
    images[np.arange(len(labels)), 0, 2 * labels + 4] = 1
    return images, labels


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion, "load", bars)
    for name, value in {
        "WIDTHS": (8, 16, 16),
        "EPOCHS": (1, 2),
        "BATCH": 16,
        "AT_ONCE": 20,
    }.items():
        monkeypatch.setattr(biper, name, value)
    return tmp_path


def torch_run(module: nn.Module) -> biper.Run:
    return lambda x: [module(torch.from_numpy(x)).detach().numpy()]


def test_it_learns_and_both_engines_run_its_bits(tiny: Path) -> None:
    module, (x,) = biper.model(), biper.example_inputs()
    wanted, learned = module(x).detach(), biper.evaluate(torch_run(module))
    assert learned["accuracy"] > 0.9
    folded = copy.deepcopy(module)
    kinds = [row.kind for row in fold_(folded, (x,)) if not row.reason]
    assert kinds.count("binary convolution") == 5
    assert kinds.count("batch norm") == 6
    assert sum(isinstance(part, PackedBinaryConv2d) for part in folded.modules()) == 5
    export_onnx(folded, (x,), tiny / "m.onnx", fallback="none")
    export_tflite(folded, (x,), tiny / "m.tflite")
    for suffix in ("onnx", "tflite"):
        session = Session(tiny / f"m.{suffix}", threads=2)
        assert relative_error(session.run(x.numpy())[0], wanted.numpy()) < 1e-4
        assert biper.evaluate(session.run) == learned


def test_the_twin_is_the_same_net_without_bits(tiny: Path) -> None:
    twin = biper_float.model()
    assert biper_float.evaluate(torch_run(twin))["accuracy"] > 0.9
    assert not any(isinstance(part, BinaryConv2d) for part in twin.modules())
    assert [p.name for p in tiny.iterdir()] == [biper.TWIN] == [biper_float.CACHE]
    binary = biper.network("binary").parameters()
    shapes = sorted(p.shape for p in binary if p.dim() > 1)
    assert shapes == sorted(p.shape for p in twin.parameters() if p.dim() > 1)
