from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from smalti.quant import block
from smalti.quant.block import (
    BlockWeight,
    block_lookup,
    nearest_block,
    pack_block,
    unpack_block,
)
from smalti.quant.block_layers import (
    BlockConv2d,
    BlockEmbedding,
    BlockLinear,
    replacement,
    why_not,
)
from smalti.quant.engine_ops import E2M1, E4M3, E8M0, NF4, pack_bits, unpack_bits
from smalti.runtime.format import BLOCK_FORMATS, BlockFormat

ALL = pytest.mark.parametrize("form", BLOCK_FORMATS, ids=str)
INTEGERS = pytest.mark.parametrize("form", [f for f in BLOCK_FORMATS if f.is_integer], ids=str)


def packed(weight: torch.Tensor, form: BlockFormat) -> BlockWeight:
    lookup = block_lookup(weight, form)
    return pack_block(nearest_block(weight, lookup), lookup, form, weight)


def normal(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


# Relative squared error on N(0, 1), from reference/quantization.md, section 1.3. Its integers have
# exact offsets; ours round zero points, and search the range.
MIN_MAX = {("int4", 32): 0.00612, ("int4", 64): 0.00803, ("int4", 128): 0.00993}
SYMMETRIC_CLIP = {("int2", 32): 0.1366, ("int2", 64): 0.1430, ("int2", 128): 0.1463}


@pytest.mark.parametrize(("kind", "group", "limit"), [(*k, v) for k, v in MIN_MAX.items()])
def test_integers_lose_no_more_than_min_max(kind, group, limit):
    assert packed(normal(512, 1024), BlockFormat(kind, group)).error < limit


@pytest.mark.parametrize(("kind", "group", "limit"), [(*k, v) for k, v in SYMMETRIC_CLIP.items()])
def test_two_bits_lose_no_more_than_a_symmetric_clip(kind, group, limit):
    assert packed(normal(512, 1024), BlockFormat(kind, group)).error < limit


@pytest.mark.parametrize(
    ("kind", "group", "expected"), [("nf4", 64, 0.00845), ("nvfp4", 16, 0.00905)]
)
def test_errors_of_four_bit_floats(kind, group, expected):
    found = packed(normal(512, 1024), BlockFormat(kind, group)).error
    assert found == pytest.approx(expected, rel=0.02)


def test_mxfp4_beats_the_rule_of_ocp():
    weight, form = normal(512, 1024), BlockFormat("mxfp4", 32)
    largest = weight.reshape(512, -1, 32).abs().amax(-1)
    floor = 2.0 ** (torch.floor(torch.log2(largest)) - 2)
    lookup = block_lookup(weight, form)
    assert set((lookup.scales / floor).unique().tolist()) == {1.0, 2.0}
    by_rule = block.Lookup(lookup.values, floor, None, 32)
    assert pack_block(nearest_block(weight, by_rule), by_rule, form, weight).error == pytest.approx(
        0.0132, rel=0.02
    )
    assert packed(weight, form).error < 0.0126


def by_min_max(weight: torch.Tensor, form: BlockFormat) -> float:
    """Squared error with the whole range, an independent way."""
    total, top = 0.0, 2**form.code_bits - 1
    for row in weight.double().numpy():
        for start in range(0, len(row), form.group):
            part = row[start : start + form.group]
            low, high = min(part.min(), 0.0), max(part.max(), 0.0)
            scale = (high - low) / top or 1.0
            zero = np.round(-low / scale)
            codes = np.clip(np.round(part / scale) + zero, 0, top)
            total += float((((codes - zero) * scale - part) ** 2).sum())
    return total


@INTEGERS
@pytest.mark.parametrize("law", ["normal", "heavy", "positive", "sparse"])
def test_the_search_never_loses_to_min_max(form, law):
    weight = normal(9, 300)
    weight = {
        "normal": weight,
        "heavy": weight**3,
        "positive": weight.abs() + 0.5,
        "sparse": weight * (weight > 1),
    }[law]
    norm = float(weight.double().square().sum())
    assert packed(weight, form).error <= by_min_max(weight, form) / norm * 1.0001


def test_tables_of_small_floats_are_those_of_torch():
    every = torch.arange(256, dtype=torch.uint8)
    e4m3 = every.view(torch.float8_e4m3fn).to(torch.float32)
    e8m0 = every.view(torch.float8_e8m0fnu).to(torch.float32)
    assert torch.equal(torch.tensor(E4M3).nan_to_num(-1), e4m3.nan_to_num(-1))
    assert torch.equal(torch.tensor(E8M0).nan_to_num(-1), e8m0.nan_to_num(-1))
    assert E2M1[:8] == (0, 0.5, 1, 1.5, 2, 3, 4, 6)
    assert E2M1[8:] == tuple(-v for v in E2M1[:8])


def test_nf4_is_made_of_quantiles():
    """By the recipe of the paper: quantiles of both halves from a common tail, over the largest."""
    tail, inverse = 0.9677083, NormalDist().inv_cdf
    positive = [inverse(p) for p in np.linspace(tail, 0.5, 9)[:-1]]
    negative = [-inverse(p) for p in np.linspace(tail, 0.5, 8)[:-1]]
    expected = np.array(sorted([*positive, 0.0, *negative])) / max(positive)
    assert np.abs(expected - NF4).max() < 1e-6
    assert all(a < b for a, b in pairwise(NF4))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_bits_come_back(bits):
    codes = torch.randint(0, 1 << bits, (3, 5, 16), dtype=torch.uint8)
    assert torch.equal(unpack_bits(pack_bits(codes, bits), bits), codes.to(torch.int32))
    assert pack_bits(torch.tensor([[1, 2]], dtype=torch.uint8), 4).tolist() == [[0x21]]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 300),
    form=st.sampled_from(BLOCK_FORMATS),
    power=st.integers(-100, 100),
    seed=st.integers(0, 99),
)
def test_packed_weights_mean_what_the_lookup_says(rows, columns, form, power, seed):
    weight = normal(rows, columns, seed) * 2.0**power
    lookup = block_lookup(weight, form)
    codes = torch.randint(0, len(lookup.values), (rows, columns), dtype=torch.uint8)
    found = pack_block(codes, lookup, form, weight)
    assert found.bytes == form.packed_bytes(rows, columns)
    expected = lookup.decode(codes)
    room = lookup.spread(lookup.scales, columns) * (1 << 8) * 2.0**-22
    assert ((unpack_block(found) - expected).abs() <= room).all()


@ALL
def test_zeros_stay_zero(form):
    weight = normal(5, 300)
    weight[1], weight[2, :140] = 0.0, 0.0
    found = unpack_block(packed(weight, form))
    assert (found[weight == 0] == 0).all()
    nothing = packed(torch.zeros(3, 70), form)
    assert (unpack_block(nothing) == 0).all()
    assert nothing.error == 0.0


@ALL
@pytest.mark.parametrize("constant", [1.0, -0.3, 1e30, -1e-30])
def test_constants_are_kept(form, constant):
    found = unpack_block(packed(torch.full((3, 200), constant), form)) / constant
    worst = 0.26 if form.kind == "mxfp4" else 0.07 if form.kind == "nvfp4" else 1e-6
    assert ((found - 1).abs() <= worst).all()


@ALL
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_size_does_not_matter(form, size):
    weight = normal(8, 256)
    errors = [packed(weight * s, form).error for s in (1.0, size)]
    assert errors[1] == pytest.approx(errors[0], rel=0.1)
    assert torch.isfinite(unpack_block(packed(weight * size, form))).all()


@ALL
def test_an_outlier_hurts_its_group_alone(form):
    weight = normal(4, 512)
    plain = unpack_block(packed(weight, form))
    weight[0, 3] = 300.0
    found = unpack_block(packed(weight, form))
    assert found[0, 3] == pytest.approx(300.0, rel=0.2)
    if form.kind != "nvfp4":  # whose scales share a unit
        assert torch.equal(found[0, form.group :], plain[0, form.group :])
        assert torch.equal(found[1:], plain[1:])


@INTEGERS
def test_codes_that_fill_up_mean_zero(form):
    found = packed(normal(3, 5) + 0.3, form)
    whole = BlockWeight(
        *(form, 3, form.group), *(found.codes, found.scales, found.zero_points), 1.0, 0.0
    )
    assert (unpack_block(whole)[:, 5:] == 0).all()


@ALL
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(200, 96), (4, 3, 200)),
        (nn.Linear(192, 96, bias=False), (4, 192)),
        (nn.Conv2d(32, 24, 3, stride=2, padding=1), (2, 32, 9, 7)),
        (nn.Conv2d(128, 24, 2, padding="same", groups=2), (2, 128, 9, 7)),
    ],
)
def test_a_layer_computes_with_the_weight_it_holds(form, layer, shape):
    x, weight = torch.randn(shape), packed(layer.weight.flatten(1), form)
    assert why_not(layer, form) == ""
    found = replacement(layer, weight, int8=False)
    assert isinstance(found, BlockLinear | BlockConv2d)
    expected = unpack_block(weight).reshape(layer.weight.shape)
    with torch.no_grad():
        layer.weight.copy_(expected)
        assert torch.allclose(found(x), layer(x), rtol=1e-4, atol=1e-4)


@ALL
def test_an_embedding_gives_rows_of_the_table(form):
    layer = nn.Embedding(50, 200)
    weight = packed(layer.weight, form)
    indices = torch.tensor([[0, 49], [7, 7]])
    found = replacement(layer, weight, int8=True)
    assert isinstance(found, BlockEmbedding)
    assert torch.equal(found(indices), unpack_block(weight)[indices])


def test_only_integers_round_activations():
    layer = nn.Linear(256, 64)
    for form in BLOCK_FORMATS:
        found = replacement(layer, packed(layer.weight, form), int8=True)
        assert found.int8 == form.is_integer
    x = torch.randn(4, 256)
    exact = replacement(layer, packed(layer.weight, BlockFormat("int4", 32)), int8=False)
    rough = replacement(layer, packed(layer.weight, BlockFormat("int4", 32)), int8=True)
    with torch.no_grad():
        assert 1e-4 < float((rough(x) - exact(x)).norm() / exact(x).norm()) < 1e-2


@pytest.mark.parametrize(
    ("layer", "form", "reason"),
    [
        (nn.LSTM(8, 8), "int4-g32", "no layer in blocks for LSTM"),
        (
            nn.Conv2d(64, 64, 3, padding_mode="circular", padding=1),
            "int4-g32",
            "padding mode circular",
        ),
        (nn.Embedding(64, 64, max_norm=1.0), "mxfp4", "max_norm"),
        (
            nn.Linear(20, 64),
            "int8-g128",
            "too narrow for int8-g128: 8512 bytes packed, 5120 in float",
        ),
    ],
)
def test_reasons_to_stay_in_float(layer, form, reason):
    assert reason in why_not(layer, BlockFormat.parse(form))
