"""Layers rounded side by side, on a cluster, and again after a stop: always the same bytes."""

import copy

import joblib
import pytest
import torch
from torch import nn

from smalti.quant import jobs as jobs_module
from smalti.quant import quantize_
from smalti.quant.observe import estimate

torch.manual_seed(0)
MODULE = nn.Sequential(nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
BATCHES = [(torch.randn(32, 96),) for _ in range(2)]


@pytest.fixture(scope="module")
def hessians():
    return estimate(MODULE, BATCHES)


def quantized(hessians, **options) -> dict[str, torch.Tensor]:
    module = copy.deepcopy(MODULE)
    quantize_(module, "vq-2x16", hessians, **options)
    return module.state_dict()


@pytest.fixture(scope="module")
def serial(hessians):
    return quantized(hessians)


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_two_processes_give_the_bytes_of_one(hessians, serial):
    assert equal(quantized(hessians, jobs=2), serial)


def test_a_dask_cluster_gives_the_bytes_of_one_process(hessians, serial):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as it,
        distributed.Client(it),
        joblib.parallel_config("dask"),
    ):
        assert equal(quantized(hessians, jobs=2), serial)


def test_a_stopped_call_goes_on(hessians, serial, tmp_path, monkeypatch):
    def stop(name: str, i: int, count: int) -> None:
        if i == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantized(hessians, resume=tmp_path, progress=stop)
    calls = []
    original = jobs_module.quantize_matrix

    def counted(*args):
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(jobs_module, "quantize_matrix", counted)
    assert equal(quantized(hessians, resume=tmp_path), serial)
    assert len(calls) == 1
    assert equal(quantized(hessians, resume=tmp_path), serial)
    assert len(calls) == 1


def test_a_resumed_call_sees_other_weights(hessians, tmp_path):
    quantized(hessians, resume=tmp_path)
    other = copy.deepcopy(MODULE)
    with torch.no_grad():
        other[0].weight.mul_(-1)
    quantize_(other, "vq-2x16", hessians, resume=tmp_path)
    fresh = copy.deepcopy(MODULE)
    with torch.no_grad():
        fresh[0].weight.mul_(-1)
    quantize_(fresh, "vq-2x16", hessians)
    assert equal(other.state_dict(), fresh.state_dict())


def test_feedback_without_a_hessian_names_the_layer(hessians):
    part = {name: h for name, h in hessians.items() if name != "2"}
    with pytest.raises(
        ValueError, match="layer 2: rounding='yaqa' needs a Hessian.*keep the layer in float"
    ):
        quantized(part)
    with pytest.raises(ValueError, match="rounding='gptq'"):
        quantized(hessians, rounding="gptq")


def test_biases_take_up_the_mean_error():
    """With inputs of large mean, the mean output stays where it was; nearest or not."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(128, 64, bias=False), nn.Conv2d(1, 1, 1))[:1]
    x = torch.randn(512, 128) + 3
    hessians = estimate(module, [(x,)])
    expected = module(x).mean(0)
    for rounding in ("nearest", "ldlq", "yaqa"):
        plain, shifted = copy.deepcopy(module), copy.deepcopy(module)
        quantize_(plain, "vq-2x16", activations="float")
        quantize_(shifted, "vq-2x16", hessians, rounding=rounding, activations="float")
        off = float((shifted(x).mean(0) - expected).norm().detach())
        assert off < 0.1 * float((plain(x).mean(0) - expected).norm().detach())


def test_learned_codebooks_reach_the_layers(hessians, serial):
    found = quantized(hessians, learned=True)
    assert not torch.equal(found["0.grid"], serial["0.grid"])
    assert not torch.equal(found["0.grid"], found["2.grid"])


def test_only_large_modules_pay_for_more_processes(monkeypatch):
    monkeypatch.setattr(jobs_module.os, "cpu_count", lambda: 3)
    assert jobs_module.jobs_that_pay(MODULE) == 1
    assert jobs_module.jobs_that_pay(nn.Linear(2048, 1024, device="meta")) == 3
