import copy

import pytest
import torch
from torch import nn

from smalti.quant import quantize_
from smalti.quant.plan import PlanError
from smalti.quant.training import fake_quantize_, fine_tune
from smalti.quant.weight import WeightError

FORMS = ["vq-1x16", "vq-2x64-row", "vq-2x16-g64", "vq-4x256"]


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(12, 48, 3, padding=1, bias=False),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.Conv2d(48, 48, 3, groups=48),
        nn.Conv2d(48, 80, 1),
        nn.Flatten(),
        nn.Linear(80 * 4, 10),
    )


def images(count=8):
    return torch.randn(count, 12, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", FORMS)
def test_a_fake_quantized_module_computes_what_the_quantized_one_does(form):
    module = small_net().eval()
    with fake_quantize_(module, form):
        fake = module(images())
    quantize_(module, form, activations="float")
    assert torch.allclose(fake, module(images()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS[1:])
def test_the_same_holds_after_training(form):
    module = small_net()
    labels = torch.arange(8)
    with fake_quantize_(module, form):
        fine_tune(module, [(images(), labels)], cross_entropy, 5, 1e-2)
        fake = module(images())
    quantize_(module, form, activations="float")
    assert torch.allclose(fake, module(images()), atol=1e-5, rtol=1e-5)


def cross_entropy(module, batch):
    return nn.functional.cross_entropy(module(batch[0]), batch[1])


def test_it_rounds_the_layers_that_quantize_would():
    module = small_net()
    plan = {"*": "vq-2x16", "6": "float"}
    with fake_quantize_(module, plan):
        rounding = {
            name for name, layer in module.named_modules() if hasattr(layer, "parametrizations")
        }
    reports = quantize_(module, plan)
    assert rounding == {r.name for r in reports if r.format != "float"} == {"0", "4"}


def test_removal_leaves_the_latent_weights_and_the_types():
    module = small_net()
    before = copy.deepcopy(module.state_dict())
    parameters = {id(p) for p in module.parameters()}
    handle = fake_quantize_(module, "vq-2x16")
    assert not torch.equal(module[4].weight, before["4.weight"])
    handle.remove()
    handle.remove()  # twice does no harm
    assert {k: v.tolist() for k, v in module.state_dict().items()} == {
        k: v.tolist() for k, v in before.items()
    }
    assert type(module[0]) is nn.Conv2d
    assert {id(p) for p in module.parameters()} == parameters, "optimizers hold on to them"


def test_gradients_pass_straight_through():
    module = nn.Sequential(nn.Linear(64, 32))
    x = torch.randn(5, 64)
    with fake_quantize_(module, "vq-2x16"):
        (module(x) ** 2).sum().backward()
        rounded = module[0].weight.detach()
        found = module[0].parametrizations.weight.original.grad
    y = x @ rounded.T + module[0].bias
    assert torch.allclose(found, (2 * y).T @ x, rtol=1e-4, atol=1e-4)


def test_a_new_weight_is_rounded_anew_and_an_old_one_is_not(monkeypatch):
    from smalti.quant import training

    calls = []
    real = training.quantize_matrix
    monkeypatch.setattr(training, "quantize_matrix", lambda *a: calls.append(1) or real(*a))
    module = nn.Sequential(nn.Linear(64, 32))
    with fake_quantize_(module, "vq-2x16"):
        calls.clear()
        one, _ = module(torch.ones(64)), module(torch.ones(64))
        assert len(calls) == 1
        with torch.no_grad():
            module[0].parametrizations.weight.original.mul_(-1)
        other = module(torch.ones(64))
        assert len(calls) == 2
    assert not torch.equal(one, other)


def test_inference_mode_in_between_does_no_harm():
    module = nn.Sequential(nn.Linear(64, 32))
    with fake_quantize_(module, "vq-2x16"):
        with torch.inference_mode():
            module(torch.ones(64))
        module(torch.ones(64)).sum().backward()
        assert module[0].parametrizations.weight.original.grad is not None


def test_tied_weights_stay_tied():
    module = nn.ModuleDict({"embed": nn.Embedding(200, 64), "head": nn.Linear(64, 200)})
    module["head"].weight = module["embed"].weight
    with fake_quantize_(module, "vq-1x16"):
        assert torch.equal(module["head"].weight, module["embed"].weight)
        assert len(list(module.parameters())) == 2
    assert module["head"].weight is module["embed"].weight


def test_a_plan_that_does_not_fit_is_refused():
    module = small_net()
    with pytest.raises(PlanError, match="no layer matches 'encoder"):
        fake_quantize_(module, {"encoder.*": "vq-2x16"})
    assert not any(hasattr(layer, "parametrizations") for layer in module)


def test_divergence_names_the_layer():
    module = nn.Sequential(nn.Linear(64, 32))
    with fake_quantize_(module, "vq-2x16"):
        with torch.no_grad():
            module[0].parametrizations.weight.original.fill_(float("nan"))
        with pytest.raises(WeightError, match=r"layer 0: 2048 weights are NaN.*learning rate"):
            module(torch.ones(64))


def squared_error(module, batch):
    return (module(batch[0]) - batch[1]).square().mean()


def test_training_beats_rounding_after_training():
    torch.manual_seed(0)
    x = torch.randn(512, 48)
    y = torch.tanh(x @ torch.randn(48, 8) / 7)
    batches = list(zip(x.split(64), y.split(64), strict=True))
    module = nn.Sequential(nn.Linear(48, 160), nn.ReLU(), nn.Linear(160, 8))
    fine_tune(module, batches, squared_error, 20, 1e-2)
    after = copy.deepcopy(module)
    with fake_quantize_(module, "vq-2x16-row"):
        means = fine_tune(module, batches, squared_error, 8, 2e-3)
    for net in (module, after):
        quantize_(net, "vq-2x16-row", activations="float")
    assert means[-1] < means[0]
    assert squared_error(module, (x, y)) < 0.7 * squared_error(after, (x, y))


def test_fine_tuning_ends_in_evaluation_mode():
    module = small_net()
    fine_tune(module, [(images(), torch.arange(8))], cross_entropy, 2, 1e-3)
    assert not any(layer.training for layer in module.modules())


def test_formats_of_the_engine_train_too():
    torch.manual_seed(0)
    module, x = nn.Sequential(nn.Linear(64, 64)), torch.randn(8, 64)
    with fake_quantize_(module, "int4-g32"):
        rounded_outputs = module(x)
        rounded_outputs.square().sum().backward()
        assert module[0].parametrizations.weight.original.grad.abs().sum() > 0
    quantize_(module, "int4-g32", activations="float")
    assert torch.allclose(module(x), rounded_outputs, atol=1e-5)
