"""The flow that scores rows of a table, at a tiny size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from engines import both_engines, torch_run

from smalti.export.verify import relative_error
from smalti.models import anomaly
from smalti.models.flow import Flow, Sampler

pytest.importorskip("sklearn", reason="scikit-learn: pip install 'smalti[demo]'")


def test_the_area_is_that_of_the_curve() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    usual, unusual = rng.normal(0, 1, 50).round(1), rng.normal(1, 1, 40).round(1)
    truth = np.repeat([0, 1], [50, 40])
    wanted = roc_auc_score(truth, np.concatenate([usual, unusual]))
    assert anomaly.roc_area(usual, unusual) == pytest.approx(wanted, abs=1e-12)


def test_the_unusual_teach_nothing() -> None:
    known, held, unusual = anomaly.table()
    assert (len(known), len(held), len(unusual)) == (238, 119, 212)
    assert max(np.abs(part).max() for part in anomaly.table()) < 3
    assert not (known[:, None] == held).all(-1).any()


def test_it_learns_what_is_usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    for name, value in {"LAYERS": 2, "HIDDEN": 16, "BINS": 4, "EPOCHS": 15}.items():
        monkeypatch.setattr(anomaly, name, value)
    found = anomaly.evaluate(torch_run(anomaly.model()))
    untrained = anomaly.evaluate(torch_run(Flow(30, 2, 16, 4)))
    assert found["nats"] < untrained["nats"] - 3
    assert found["roc_area"] > 0.8


def test_both_engines_score_as_torch_and_find_the_way_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    flow, x = Flow(6, 2, 8, 4).eval(), torch.randn(64, 6)
    wanted = torch_run(flow)(x.numpy())
    for name, session in both_engines(flow, (x,), tmp_path):
        for found, want in zip(session.run(x.numpy()), wanted, strict=True):
            assert relative_error(found, want) < 1e-5, name
    z = torch.from_numpy(wanted[0])
    for name, session in both_engines(Sampler(flow).eval(), (z,), tmp_path):
        assert relative_error(session.run(z.numpy())[0], x.numpy()) < 1e-4, name
