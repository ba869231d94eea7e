"""Costs, plans, and whether their prediction holds."""

import copy
import random

import pytest
import torch
from torch import nn

from smalti.quant import quantize_
from smalti.quant.budget import BudgetError
from smalti.quant.drop import measured_drop
from smalti.quant.observe import estimate
from smalti.quant.plan import Plan
from smalti.quant.planner import Budget, make_plan
from smalti.quant.sensitivity import LINEAR_BELOW, costs, slope
from smalti.runtime.format import parse_format

FORMATS = [parse_format(f) for f in ("vq-4x256-g128", "vq-2x64-g128", "vq-2x256-g128", "int8-g128")]


def network() -> nn.Module:
    """Layers of unlike importance: the last ones are scaled up."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for i in range(4):
        linear = nn.Linear(128, 128)
        linear.weight.data *= (1.0, 0.3, 2.0, 1.0)[i]
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(128, 16))


BATCHES = [(torch.randn(64, 128, generator=torch.Generator().manual_seed(i)),) for i in range(8)]


@pytest.fixture(scope="module")
def found():
    module = network()
    hessians = estimate(module, BATCHES, passes=4)
    return module, hessians, costs(module, FORMATS, hessians, rounding="nearest")


def test_every_layer_has_every_format_and_float(found):
    _, _, ways = found
    assert list(ways) == ["0", "2", "4", "6", "8"]
    for layer in ways.values():
        assert [w.choice.format for w in layer] == [*map(str, FORMATS), "float"]
        drops = [w.choice.drop for w in layer]
        assert drops == sorted(drops, reverse=True)
        assert drops[-1] == 0


def test_the_slope_predicts_an_error_without_direction(found):
    module, hessians, ways = found
    for name, layer in ways.items():
        alpha = slope(module.get_submodule(name).weight.detach(), hessians[name])
        for way in layer[1:3]:
            assert way.choice.drop == pytest.approx(alpha * way.error, rel=0.25)


def test_predictions_hold_above_three_bits(found):
    """Linearity: 20 random plans without the smallest format, within 25 %."""
    module, hessians, ways = found
    chooser = random.Random(0)
    for _ in range(20):
        chosen = {name: chooser.choice(layer[1:4]) for name, layer in ways.items()}
        predicted = sum(way.choice.drop for way in chosen.values())
        copied = copy.deepcopy(module)
        plan = {name: way.choice.format for name, way in chosen.items()}
        quantize_(copied, plan, hessians, rounding="nearest", activations="float")
        measured = measured_drop(copied, module, BATCHES, "values")
        assert measured == pytest.approx(predicted, rel=0.25)


def test_a_plan_keeps_its_budget_and_says_how_good_it_is(found):
    module, _, ways = found
    rest = 4 * sum(p.numel() for n, p in module.named_parameters() if n.endswith("bias"))
    for size in (25_000, 32_000, 60_000):
        planned = make_plan(module, ways, Budget(max_bytes=size))
        assert planned.rest == rest
        assert planned.bytes <= size
        assert 0 <= planned.gap < 0.6
    small, large = (make_plan(module, ways, Budget(bits=b)) for b in (2.5, 3.5))
    assert small.allocation.drop > large.allocation.drop
    least = make_plan(module, ways, Budget(max_drop=large.allocation.drop))
    assert least.bytes <= large.bytes


def test_the_guard_fires_below_three_bits(found):
    module, _, ways = found
    assert not make_plan(module, ways, Budget(bits=2.4)).linear
    planned = make_plan(module, ways, Budget(bits=4.3))
    assert planned.linear == all(c.error <= LINEAR_BELOW for c in planned.chosen.values())


def test_too_small_a_budget_says_what_is_possible(found):
    module, _, ways = found
    with pytest.raises(BudgetError, match="stay in float"):
        make_plan(module, ways, Budget(max_bytes=1000))
    with pytest.raises(BudgetError, match="smallest|least|at least"):
        make_plan(module, ways, Budget(max_bytes=6000))


def test_tied_layers_cost_once_and_get_one_format():
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.Embedding(300, 64)
            self.body = nn.Linear(64, 64)
            self.head = nn.Linear(64, 300, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(self.embed(x)))

    module = Tied()
    batches = [(torch.randint(300, (8, 5)),)]
    ways = costs(module, FORMATS[1:3], estimate(module, batches), rounding="nearest")
    assert list(ways) == ["embed", "body"]
    planned = make_plan(module, ways, Budget(bits=3.5))
    form = planned.plan.format_of("embed")
    assert form is not None
    assert planned.plan.format_of("head") == form
    quantize_(module, planned.plan)
    assert module.head.codes is module.embed.codes


def test_a_written_plan_is_followed(found, tmp_path):
    from smalti.quant.plan import PlanFacts

    module, _, ways = found
    planned = make_plan(module, ways, Budget(bits=3.3))
    path = tmp_path / "plan.toml"
    planned.plan.write(path, PlanFacts(), {n: c.choice for n, c in planned.chosen.items()})
    reports = quantize_(copy.deepcopy(module), Plan.read(path))
    assert {r.name: r.format for r in reports} == planned.allocation.formats
