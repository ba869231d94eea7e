"""N-HiTS at a tiny size, on a series that is made up."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from series_data import check_in_both_engines, torch_run

from smalti.models import nhits


@pytest.fixture
def tiny(made_up_etth1: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sizes = {"PAST": 120, "AHEAD": 24, "WIDTH": 32, "EPOCHS": 4, "BATCH": 16, "DROPOUT": 0.1}
    for name, value in sizes.items():
        monkeypatch.setattr(nhits, name, value)
    return made_up_etth1


def test_it_learns_the_days(tiny: Path) -> None:
    yesterday = nhits.evaluate(lambda x: [x[:, -24:]], 500)
    learned = nhits.evaluate(torch_run(nhits.model()), 500)
    assert learned["mse"] < 0.8 * yesterday["mse"] and learned["mae"] < 0.9 * yesterday["mae"]


def test_both_engines_forecast_what_torch_does(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nhits, "EPOCHS", 1)
    check_in_both_engines(nhits, nhits.model(), tiny)
    nodes = onnx.load(tiny / "m.onnx").graph.node
    kinds = {node.op_type for node in nodes}
    assert not kinds & {"Resize", "Gather"}  # lines between knots are a product


def test_blocks_add_lines_between_their_knots() -> None:
    block = nhits.Block(480, 96, pool=16, hours=24).eval()
    with torch.no_grad():
        explained, added = block(torch.randn(2, 3, 480))
    assert explained.shape == (2, 3, 480) and added.shape == (2, 3, 96)
    bends = np.abs(np.diff(added.numpy(), n=2)) > 1e-6
    assert bends.any(axis=(0, 1)).sum() <= 4 * 2  # a bend may lie between two hours


def test_channels_do_not_see_each_other() -> None:
    module = nhits.NHiTS(96, 24).eval()
    x = torch.randn(2, 96, 3)
    other = x.clone()
    other[..., 1:] = 0
    with torch.no_grad():
        assert torch.equal(module(x)[..., 0], module(other)[..., 0])


def test_at_the_papers_width_it_has_the_papers_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nhits, "WIDTH", 512)
    count = sum(p.numel() for p in nhits.NHiTS(480, 96).parameters())
    assert count == 1_875_468  # 1.88 million
