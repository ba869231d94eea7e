"""The recipe of learnable spacings at a tiny size, on images that are made up."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from smalti.export import export_onnx, export_tflite, fold_
from smalti.export.verify import relative_error
from smalti.models import dcls_fashion, fashion
from smalti.quant import quantize_
from smalti.runtime import Session


def squares(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Data of ten classes that anyone can learn: bright squares of ten sizes."""
    labels = np.arange({"train": 640, "t10k": 40}[part]) % 10
    images = np.random.default_rng(0).random((len(labels), 1, 28, 28), np.float32) / 8
    for image, label in zip(images, labels, strict=True):
        image[0, 13 - label : 15 + label, 13 - label : 15 + label] = 1
    return images, labels


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion, "load", squares)
    for name, value in {"WIDTHS": (8, 8, 16), "EPOCHS": 3, "BATCH": 16, "AT_ONCE": 20}.items():
        monkeypatch.setattr(dcls_fashion, name, value)
    return tmp_path


def torch_run(module: torch.nn.Module) -> dcls_fashion.Run:
    return lambda x: [module(torch.from_numpy(x)).detach().numpy()]


def test_it_learns_and_both_engines_name_what_torch_does(tiny: Path) -> None:
    module, (x,) = dcls_fashion.model(), dcls_fashion.example_inputs()
    learned = dcls_fashion.evaluate(torch_run(module))
    assert set(learned) == {"accuracy", "accuracy_dilated"}
    assert min(learned.values()) > 0.8
    assert {p.name for p in tiny.iterdir()} == {dcls_fashion.CACHE, dcls_fashion.RIVAL}
    for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        export(module, (x,), tiny / f"m.{suffix}")
        session = Session(tiny / f"m.{suffix}", threads=2)
        assert relative_error(session.run(x.numpy())[0], module(x).detach().numpy()) < 1e-4
        assert dcls_fashion.evaluate(session.run) == learned


def test_the_folded_net_is_the_net(tiny: Path) -> None:
    torch.manual_seed(0)
    module = dcls_fashion.network("dcls").eval()
    folded, (x,) = copy.deepcopy(module), dcls_fashion.example_inputs()
    kinds = [row.kind for row in fold_(folded, (x,))]
    assert kinds.count("constructed kernel") == 2
    assert relative_error(folded(x).detach().numpy(), module(x).detach().numpy()) < 1e-5


def test_the_rival_has_as_many_parameters() -> None:
    counts = [
        sum(p.numel() for p in dcls_fashion.network(kind).parameters())
        for kind in dcls_fashion.KINDS
    ]
    assert counts[0] == counts[1]


def test_the_dense_kernel_takes_49_codes_for_25_parameters(tiny: Path) -> None:
    sizes = []
    for kind in dcls_fashion.KINDS:
        module = dcls_fashion.network(kind).eval()
        fold_(module, dcls_fashion.example_inputs())
        reports = {r.name: r for r in quantize_(module, "vq-2x64-g128")}
        sizes.append(reports["halve2.0"].bytes)
    assert 1.8 < sizes[0] / sizes[1] < 2.1
