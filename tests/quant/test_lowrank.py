import onnx
import pytest
import torch
from torch import nn

from smalti.export import export_onnx
from smalti.quant import quantize_
from smalti.quant.lowrank import LowRankLinear, low_rank_bytes, low_rank_factors
from smalti.quant.matrix import unpacked
from smalti.quant.rounding.curvature import Curvature, damped
from smalti.quant.weight import quantize_weight
from smalti.runtime import Session
from smalti.runtime.format import Format


def positive(size, seed):
    x = torch.randn(2 * size, size, generator=torch.Generator().manual_seed(seed))
    scaled = x * torch.linspace(0.1, 3, size)
    return scaled.T @ scaled / len(x)


def curvature_of(rows, columns, two_sided):
    outputs = positive(rows, 2) if two_sided else None
    return Curvature(positive(columns, 1), outputs, torch.zeros(columns))


def damped_loss(error, curvature):
    outputs = None if curvature.outputs is None else damped(curvature.outputs)
    return Curvature(damped(curvature.inputs), outputs, curvature.centre).loss(error)


def random_error(rows=24, columns=40):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
@pytest.mark.parametrize("rank", [1, 8, 24])
def test_without_a_hessian_the_rest_is_the_tail_of_the_singular_values(shape, rank):
    error = random_error(*shape)
    a, b = low_rank_factors(error, None, rank)
    assert a.shape == (rank, shape[1]) and b.shape == (shape[0], rank)
    tail = torch.linalg.svdvals(error)[rank:].square().sum()
    assert (error - b @ a).square().sum() == pytest.approx(float(tail), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("rank", [1, 4, 12])
def test_weighting_pays_in_the_weighted_loss(two_sided, rank):
    error, curvature = random_error(), curvature_of(24, 40, two_sided)
    plain_a, plain_b = low_rank_factors(error, None, rank)
    a, b = low_rank_factors(error, curvature, rank)
    weighted = damped_loss(error - b @ a, curvature)
    assert weighted < damped_loss(error - plain_b @ plain_a, curvature)
    assert weighted < damped_loss(error, curvature)


def test_the_weighted_rest_is_the_tail_in_the_norm_of_the_loss():
    error, curvature = random_error(), curvature_of(24, 40, True)
    roots = [torch.linalg.cholesky(damped(h)) for h in (curvature.outputs, curvature.inputs)]
    sizes = torch.linalg.svdvals(roots[0].T @ error @ roots[1])
    a, b = low_rank_factors(error, curvature, 6)
    tail = 0.5 * float(sizes[6:].square().sum())
    assert damped_loss(error - b @ a, curvature) == pytest.approx(tail, rel=1e-4)


def test_a_hessian_that_has_seen_no_more_than_one_direction_will_do():
    seen = torch.zeros(40, 40)
    seen[3, 3] = 1.0
    error = random_error()
    a, b = low_rank_factors(error, Curvature(seen, None, torch.zeros(40)), 1)
    assert torch.allclose((b @ a)[:, 3], error[:, 3], atol=0.1)


def test_both_factors_fit_into_halves():
    a, b = low_rank_factors(random_error() * 1e-3, curvature_of(24, 40, True), 4)
    assert torch.allclose(a.norm(dim=1), b.norm(dim=0), rtol=1e-4)


def test_no_error_gives_a_branch_of_zeros():
    a, b = low_rank_factors(torch.zeros(24, 40), curvature_of(24, 40, False), 2)
    assert torch.isfinite(a).all() and not (b @ a).any()


@pytest.mark.parametrize("rank", [-1, 0, 25])
def test_impossible_ranks_are_refused(rank):
    with pytest.raises(ValueError, match=f"rank={rank} for a weight of 24 x 40; use 1 to 24"):
        low_rank_factors(random_error(), None, rank)
    with pytest.raises(ValueError, match="use 1 to 24"):
        low_rank_bytes(24, 40, rank)


def corrected(rank=8, rows=48, columns=64):
    torch.manual_seed(0)
    linear = nn.Linear(columns, rows)
    packed = quantize_weight(linear.weight, Format.parse("vq-2x16"))
    a, b = low_rank_factors(linear.weight.detach() - unpacked(packed), None, rank)
    module = nn.Sequential(linear)
    quantize_(module, "vq-2x16", activations="float")
    return LowRankLinear(module[0], a, b), linear


def test_the_branch_brings_the_layer_closer():
    layer, linear = corrected(rank=16)
    x = torch.randn(32, 64)
    expected = linear(x)
    assert (layer(x) - expected).norm() < 0.8 * (layer.quantized(x) - expected).norm()


def test_at_full_rank_only_the_rounding_to_halves_is_left():
    layer, linear = corrected(rank=48)
    x = torch.randn(32, 64)
    assert torch.allclose(layer(x), linear(x), atol=2e-3)


def test_it_exports_and_runs_in_the_bytes_that_were_promised(tmp_path):
    large, small = corrected(16, rows=64, columns=512)[0], corrected(8, rows=48, columns=64)[0]
    module, x = nn.Sequential(large, nn.ReLU(), small), torch.randn(5, 512)
    path = tmp_path / "m.onnx"
    export_onnx(module, (x,), path, fallback="none")
    (found,) = Session(path, threads=1).run(x.numpy())
    assert torch.allclose(torch.from_numpy(found), module(x).detach(), atol=1e-5)
    stored = onnx.load(path).graph.initializer
    assert any(
        t.data_type == onnx.TensorProto.FLOAT16 and tuple(t.dims) == (16, 576) for t in stored
    )
    packed = [t for layer in (large, small) for t in layer.quantized.state_dict().values()]
    branches = sum(len(t.raw_data) for t in stored) - sum(t.nbytes for t in packed)
    promised = low_rank_bytes(64, 512, 16) + low_rank_bytes(48, 64, 8)
    # Both layers share a grid; slices have indices.
    assert abs(branches + large.quantized.grid.nbytes - promised) < 100


def test_a_plan_can_buy_a_branch():
    import copy

    from smalti.quant import estimate, quantize_
    from smalti.quant.planner import Budget, make_plan
    from smalti.quant.sensitivity import costs
    from smalti.runtime.format import parse_format

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(128, 128), nn.Tanh(), nn.Conv2d(1, 1, 1))[:2]
    batches = [(torch.randn(64, 128) * torch.logspace(0, -2, 128),)]
    hessians = estimate(module, batches)
    forms = [parse_format(f) for f in ("vq-2x16", "vq-2x16+r4", "vq-2x16+r8")]
    ways = costs(module, forms, hessians, rounding="yaqa")["0"]
    drops, sizes = [w.choice.drop for w in ways], [w.choice.bytes for w in ways]
    assert drops == sorted(drops, reverse=True)
    assert sizes == sorted(sizes)
    assert sizes[1] == sizes[0] + 4 * 4 * 256
    plan = make_plan(module, {"0": ways}, Budget(max_bytes=sizes[1] + 4 * 128)).plan
    copied = copy.deepcopy(module)
    report = quantize_(copied, plan, hessians, activations="float")[0]
    assert report.format == "vq-2x16-g128+r4"
    assert report.bytes == sizes[1]
    plain = copy.deepcopy(module)
    quantize_(plain, "vq-2x16", hessians, activations="float")
    x = batches[0][0]
    # Feedback has whitened the error, so there is little of low rank left to take away.
    assert (copied(x) - module(x)).norm() < 0.95 * (plain(x) - module(x)).norm()


def test_a_branch_stands_beside_linear_layers_of_its_rank():
    from smalti.quant import quantize_

    module = nn.ModuleDict({"conv": nn.Conv2d(64, 64, 1), "linear": nn.Linear(64, 64)})
    reasons = {r.name: r.reason for r in quantize_(module, "vq-1x16+r65")}
    assert "Conv2d" in reasons["conv"]
    assert "rank 65" in reasons["linear"]
