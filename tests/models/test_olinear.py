"""OLinear at a tiny size, on a series that is made up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from series_data import check_in_both_engines, torch_run, waves
from torch import nn

from smalti.export import fold_
from smalti.export.fold import AlongAxis
from smalti.models import olinear


@pytest.fixture
def tiny(made_up_etth1: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    sizes = {"PAST": 48, "AHEAD": 24, "WIDTH": 32, "EMBEDDING": 4, "EPOCHS": 3, "BATCH": 16}
    for name, value in sizes.items():
        monkeypatch.setattr(olinear, name, value)
    return made_up_etth1


def test_it_learns_the_days(tiny: Path) -> None:
    yesterday = olinear.evaluate(lambda x: [x[:, -24:]], 500)
    learned = olinear.evaluate(torch_run(olinear.model()), 500)
    assert learned["mse"] < 0.8 * yesterday["mse"] and learned["mae"] < 0.9 * yesterday["mae"]


def test_both_engines_forecast_what_torch_does(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(olinear, "EPOCHS", 1)
    check_in_both_engines(olinear, olinear.model(), tiny)


def test_bases_and_normlin_fold_into_plain_layers() -> None:
    module = olinear.OLinear(waves(300, 7).astype(np.float32)).eval()
    expected = module(torch.ones(1, 96, 7).cumsum(1))
    rows = fold_(module, (torch.ones(1, 96, 7).cumsum(1),))
    assert [row.name for row in rows] == ["enter", "leave", "blocks.0.mix", "blocks.1.mix"]
    assert not any(row.reason for row in rows)
    assert (module.enter.in_features, module.enter.out_features) == (96, olinear.WIDTH)
    assert type(module.leave) is nn.Linear
    mix = module.blocks[0].mix
    assert isinstance(mix, AlongAxis)
    torch.testing.assert_close(mix.linear.weight.sum(1), torch.ones(7))
    torch.testing.assert_close(module(torch.ones(1, 96, 7).cumsum(1)), expected)


def test_values_in_the_basis_do_not_depend_on_each_other() -> None:
    table = waves(400, 1).astype(np.float32)
    q = olinear.basis(table, 24).double()
    torch.testing.assert_close(q.T @ q, torch.eye(24).double(), atol=1e-6, rtol=0)
    windows = np.lib.stride_tricks.sliding_window_view(table[:, 0].astype(np.float64), 24)
    rotated = q.T.numpy() @ np.corrcoef(windows.T) @ q.numpy()
    assert np.abs(rotated - np.diag(np.diag(rotated))).max() < 1e-5
    assert (np.diff(np.diag(rotated)) < 1e-5).all()  # the largest first
