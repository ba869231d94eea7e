"""The peers: known errors on Gaussian data, GPTQ against its definition, the real libraries."""

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.quality.peers import ggml, nf4, uniform
from benchmarks.quality.peers import hqq as peer_hqq

# Relative squared errors on N(0, 1) by group size, measured elsewhere on two million samples with
# an exact zero point. One of few bits changes at most 3 % from groups of 128 on, but 14 % at 16.
MIN_MAX = {(4, 128): 0.00993, (4, 256): 0.01183, (4, 1024): 0.01563}
MIN_MAX |= {(3, 128): 0.0457, (3, 256): 0.0544, (3, 1024): 0.0719}
MIN_MAX |= {(2, 128): 0.250, (2, 256): 0.298, (2, 1024): 0.398}
# The same with the best clip, of ranges symmetric about zero.
CLIPPED = {(4, 128): 0.01015, (4, 1024): 0.0116, (3, 128): 0.0381, (3, 1024): 0.0403}
CLIPPED |= {(2, 128): 0.1463, (2, 1024): 0.1505}
NF4 = {16: 0.00653, 32: 0.00763, 64: 0.00845, 128: 0.00912, 256: 0.00971, 1024: 0.01084}

# Of the real library: bits, and relative squared error on N(0, 1) at equal importances. IQ2_XXS
# stands for IQ2_XS (0.0897) and IQ2_S (0.0619) too: they need seconds to build their tables.
GGML = {"Q4_0": 0.00667, "Q4_K": 0.0050, "IQ4_NL": 0.00561, "IQ4_XS": 0.00571, "MXFP4": 0.0132}
GGML |= {"Q3_K": 0.0209, "IQ3_XXS": 0.0330, "IQ3_S": 0.0187, "Q2_K": 0.0719, "IQ2_XXS": 0.1183}
SIZES = {"Q4_0": 4.5, "Q4_K": 4.5, "IQ4_NL": 4.5, "IQ4_XS": 4.25, "MXFP4": 4.25, "Q3_K": 3.4375}
SIZES |= {"IQ3_S": 3.4375, "IQ3_XXS": 3.0625, "Q2_K": 2.625, "IQ2_S": 2.5625, "IQ2_XS": 2.3125}
SIZES["IQ2_XXS"] = 2.0625


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32))


@cache
def samples() -> Tensor:
    return normal(128, 2048)


def relative_error(found: Tensor, weight: Tensor) -> float:
    assert found.shape == weight.shape
    assert found.dtype == torch.float32
    return float((found - weight).square().sum() / weight.square().sum())


@pytest.mark.parametrize(("bits", "group"), MIN_MAX)
def test_nearest_integers(bits: int, group: int) -> None:
    error = relative_error(uniform.rtn(samples(), bits, group), samples())
    assert error == pytest.approx(MIN_MAX[bits, group], rel=0.04)


@pytest.mark.parametrize(("bits", "group"), CLIPPED)
def test_clipping(bits: int, group: int) -> None:
    error = relative_error(uniform.rtn(samples(), bits, group, clip=True), samples())
    assert error < CLIPPED[bits, group]
    if group == 1024:  # a range of its own at either end gains little in large groups
        assert error == pytest.approx(CLIPPED[bits, group], rel=0.03)


def test_clipping_never_loses() -> None:
    weight = normal(64, 64) ** 3
    plain, clipped = (uniform.rtn(weight, 3, 16, clip) for clip in (False, True))
    errors = [(found - weight).square().unflatten(1, (4, 16)).sum(2) for found in (plain, clipped)]
    assert (errors[1] <= errors[0]).all()


def test_integers_have_few_levels_and_an_exact_zero() -> None:
    weight = normal(8, 64)
    weight[:, ::7] = 0
    found = uniform.rtn(weight, 2, 32)
    assert (found[:, ::7] == 0).all()
    assert max(len(row.unique()) for row in found.unflatten(1, (2, 32)).flatten(0, 1)) == 4


@pytest.mark.parametrize("clip", [False, True])
def test_zeros_and_constants(clip: bool) -> None:
    weight = torch.tensor([[0.0] * 8, [1e-9] * 8, [0.5] * 8, [-0.5] * 8])
    found = uniform.rtn(weight, 4, 8, clip)
    assert torch.allclose(found, weight, rtol=1e-3, atol=1e-8)


def test_bits() -> None:
    assert uniform.bits_per_weight(4, 128) == 4.15625
    assert uniform.bits_per_weight(3, 32) == 3.59375
    assert nf4.bits_per_weight() == 4.25
    assert peer_hqq.bits_per_weight(3, 64) == 3.5


def correlated(columns: int) -> Tensor:
    """Hessian of inputs that resemble their neighbours, with loud columns."""
    place = torch.arange(columns)
    hessian = 0.9 ** (place[:, None] - place).abs().double()
    loud = 1.0 + 4.0 * (place % 17 == 3)
    return hessian * loud * loud[:, None]


def proxy(found: Tensor, weight: Tensor, hessian: Tensor) -> float:
    """tr(E H E^T): the squared error of the layer's outputs."""
    error = (found - weight).double()
    return float(((error @ hessian) * error).sum())


@pytest.mark.parametrize("clip", [False, True])
def test_gptq_of_white_inputs_is_nearest(clip: bool) -> None:
    weight = normal(32, 96)
    found = uniform.gptq(weight, torch.eye(96), 3, 32, clip)
    assert torch.equal(found, uniform.rtn(weight, 3, 32, clip))


@pytest.mark.parametrize(("bits", "gain"), [(4, 3.0), (3, 3.0), (2, 2.0)])
@pytest.mark.parametrize("clip", [False, True])
def test_gptq_gains_on_correlated_inputs(bits: int, gain: float, clip: bool) -> None:
    weight, hessian = normal(64, 128), correlated(128)
    nearest = proxy(uniform.rtn(weight, bits, 64, clip), weight, hessian)
    assert proxy(uniform.gptq(weight, hessian, bits, 64, clip), weight, hessian) * gain < nearest


@pytest.mark.parametrize("group", [16, 48, 40])
@pytest.mark.parametrize("bits", [2, 4])
def test_gptq_is_optimal_brain_surgery(bits: int, group: int) -> None:
    """Against the textbook: eliminate each column from the inverse Hessian once it is rounded."""
    weight, hessian = normal(24, 48), correlated(48)
    found = uniform.gptq(weight, 7 * hessian, bits, group)  # the scale of H is free
    assert np.allclose(found.numpy(), surgery(weight, hessian, bits, group), rtol=0, atol=1e-6)


def surgery(weight: Tensor, hessian: Tensor, bits: int, group: int) -> np.ndarray:
    w, h, top = weight.double().numpy().copy(), hessian.numpy(), 2**bits - 1
    inverse = np.linalg.inv(h + 0.01 * np.diag(h).mean() * np.eye(len(h)))
    for j in range(len(h)):
        if j % group == 0:
            part = w[:, j : j + group]
            low, high = np.minimum(part.min(1), 0), np.maximum(part.max(1), 0)
            scale = ((high - low) / top).astype(np.float16).astype(np.float64)
            zero = np.clip(np.round(-low / scale), 0, top)
        rounded = scale * (np.clip(np.round(w[:, j] / scale + zero), 0, top) - zero)
        w -= np.outer((w[:, j] - rounded) / inverse[j, j], inverse[j])
        w[:, j] = rounded
        inverse = inverse - np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
    return w


def test_gptq_leaves_its_arguments_alone() -> None:
    weight, hessian = normal(8, 32).double(), correlated(32)
    before = weight.clone(), hessian.clone()
    uniform.gptq(weight, hessian, 3, 16)
    assert torch.equal(weight, before[0])
    assert torch.equal(hessian, before[1])


def test_gptq_bears_inputs_that_are_never_on() -> None:
    weight, hessian = normal(8, 32), correlated(32)
    hessian[5], hessian[:, 5] = 0, 0
    assert uniform.gptq(weight, hessian, 3, 16).isfinite().all()


def test_nf4_levels() -> None:
    """Against levels printed in the paper's appendix."""
    found = nf4.levels().tolist()
    assert len(found) == 16
    printed = {0: -1.0, 1: -0.6961928, 6: -0.0910500, 7: 0.0, 8: 0.0795803, 14: 0.7229568, 15: 1.0}
    for index, level in printed.items():
        assert found[index] == pytest.approx(level, abs=2e-6)


@pytest.mark.parametrize("group", NF4)
def test_nf4(group: int) -> None:
    error = relative_error(nf4.nf4(samples(), group), samples())
    assert error == pytest.approx(NF4[group], rel=0.02)


def test_nf4_of_zeros() -> None:
    assert (nf4.nf4(torch.zeros(2, 128)) == 0).all()


needs_hqq = pytest.mark.skipif(find_spec("hqq") is None, reason="the package hqq is absent")


@needs_hqq
@pytest.mark.parametrize(("bits", "error"), [(4, 0.0076), (3, 0.0333), (2, 0.1875)])
def test_hqq(bits: int, error: float) -> None:
    found = peer_hqq.hqq(samples(), bits, 64)
    assert relative_error(found, samples()) == pytest.approx(error, rel=0.04)
    assert max(len(row.unique()) for row in found[0].view(-1, 64)) <= 2**bits


def has_ggml() -> bool:
    try:
        return ggml.library_path().is_file()
    except ModuleNotFoundError:
        return False


needs_ggml = pytest.mark.skipif(not has_ggml(), reason="no libggml-base.so; see SMALTI_GGML")


@needs_ggml
def test_ggml_sizes() -> None:
    assert {name: ggml.bits(name) for name in ggml.TYPES} == SIZES


@needs_ggml
@pytest.mark.parametrize("name", GGML)
def test_ggml(name: str) -> None:
    weight = samples()[:32]
    found = ggml.ggml(weight, name, torch.ones(2048))
    assert relative_error(found, weight) == pytest.approx(GGML[name], rel=0.04)


@needs_ggml
@pytest.mark.parametrize("name", ["IQ4_NL", "Q4_K", "IQ3_XXS"])
def test_ggml_heeds_importance(name: str) -> None:
    """Also where rows are joined: 384 columns are no multiple of 256."""
    weight, importance = normal(64, 384), torch.ones(384)
    importance[::8] = 100
    plain, heeded = (ggml.ggml(weight, name, i) for i in (torch.ones(384), importance))
    loud = slice(None), slice(None, None, 8)
    assert relative_error(heeded[loud], weight[loud]) < relative_error(plain[loud], weight[loud])
    assert relative_error(heeded, weight) > relative_error(plain, weight)


@needs_ggml
def test_ggml_joins_rows_in_order() -> None:
    weight = normal(4, 384)
    joined = ggml.ggml(weight.view(2, 768), "Q4_K").view(4, 384)
    assert torch.equal(ggml.ggml(weight, "Q4_K"), joined)
    assert relative_error(joined, weight) < 0.006


@needs_ggml
def test_ggml_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="IQ2_XXS needs an importance"):
        ggml.ggml(normal(2, 256), "IQ2_XXS")
    with pytest.raises(ValueError, match="rows of 384 fill blocks 2 at a time, and 3 rows do not"):
        ggml.ggml(normal(3, 384), "Q4_K")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ggml, "find_spec", lambda name: None)
    monkeypatch.setenv(ggml.FOLDER, str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match=f"{tmp_path}; install llama-cpp-python"):
        ggml.library_path()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hqq.core.quantize", None)
    with pytest.raises(ModuleNotFoundError, match="hqq"):
        peer_hqq.hqq(torch.ones(2, 64), 4, 64)
