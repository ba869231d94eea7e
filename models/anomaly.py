"""Anomalies in a table: a neural spline flow learns what is usual, and scores what is not.

Neural Spline Flows (Durkan et al. 2019, arXiv 1906.04032). The table is scikit-learn's copy of the
Wisconsin breast cancer data (569 tumours, 30 measures of their cells). The flow sees two thirds
of the benign ones; the score is minus the log density, and the figure is how well it tells
malignant from benign that it never saw (area under the ROC curve). A Gaussian is the baseline. The
weights stay in CACHE; delete that file to train again, for half a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smalti.models.about import About
from smalti.models.batches import Shuffled
from smalti.models.flow import Flow, unlikelihood
from smalti.models.trained import trained
from smalti.quant.training import fine_tune

ABOUT = About(
    papers=("Durkan et al. 2019, Neural Spline Flows, arXiv 1906.04032",),
    metric="roc_area",
    rises=True,
    data="the Wisconsin breast cancer table in scikit-learn",
)

CACHE = "anomaly.safetensors"  # under SMALTI_CACHE, else in build/
LAYERS, HIDDEN, BINS = 4, 64, 8
EPOCHS, BATCH, NOISE = 120, 32, 0.1
_SPREAD = 2.5  # standard deviations within the splines' range of 3 are 1.2

Array = NDArray[Any]
Run = Callable[..., list[Array]]


@cache
def table() -> tuple[Array, Array, Array]:
    """Return usual rows to learn, usual ones to test and unusual ones, (N, 30) each, float32.

    Measures are logarithms, standardized by the rows to learn and softly clipped to [-3, 3].

    Raises:
        ModuleNotFoundError: scikit-learn is missing.
    """
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    rows, benign = np.log(found.data + 0.01), found.target == 1
    usual = rows[benign][np.random.default_rng(0).permutation(benign.sum())]
    known = usual[: 2 * len(usual) // 3]
    parts = known, usual[len(known) :], rows[~benign]
    mean, deviation = known.mean(0), known.std(0)
    known, held, unusual = (_clipped((part - mean) / deviation) for part in parts)
    return known, held, unusual


def _clipped(rows: Array) -> Array:
    found: Array = (3 * np.tanh(rows / _SPREAD / 1.2)).astype(np.float32)
    return found


def model() -> Flow:
    """Return the trained flow, from the cache or trained now."""
    torch.manual_seed(0)
    return trained(CACHE, Flow(30, LAYERS, HIDDEN, BINS), train)


def train(module: Flow) -> None:
    """Maximise the likelihood of the usual rows, with noise on them: there are only 238."""
    known = torch.from_numpy(table()[0])

    def loss(flow: Any, batch: tuple[Tensor, ...]) -> Tensor:
        return unlikelihood(flow, (batch[0] + NOISE * torch.randn_like(batch[0]),))

    fine_tune(module, Shuffled(known, batch=BATCH), loss, EPOCHS, 2e-3)


def example_inputs() -> tuple[Tensor]:
    """Return all rows that training never sees: first the usual ones."""
    return (torch.from_numpy(np.concatenate(table()[1:])),)


def calibration() -> Iterator[tuple[Tensor]]:
    """Yield the rows that training sees."""
    return ((part,) for part in torch.from_numpy(table()[0]).split(32))


def roc_area(usual: Array, unusual: Array) -> float:
    """Return how often a score of `unusual` is above one of `usual`; ties count half."""
    above = np.sign(unusual[:, None] - usual).mean()
    return float(above + 1) / 2


def gaussian_scores(rows: Array) -> Array:
    """Return squared Mahalanobis distances from the rows that training sees: the baseline."""
    known = table()[0]
    away = rows - known.mean(0)
    precision = np.linalg.inv(np.cov(known.T))
    found: Array = np.einsum("ni,ij,nj->n", away, precision, away)
    return found


def evaluate(run: Run) -> dict[str, float]:
    """Return the area under the ROC curve, the Gaussian's, and nats a usual row."""
    rows, count = example_inputs()[0].numpy(), len(table()[1])
    scores, gaussian = -run(rows)[1], gaussian_scores(rows)
    return {
        "roc_area": roc_area(scores[:count], scores[count:]),
        "roc_area_gaussian": roc_area(gaussian[:count], gaussian[count:]),
        "nats": float(scores[:count].mean()),
    }
