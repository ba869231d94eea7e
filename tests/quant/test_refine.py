import copy
import re

import pytest
import torch
from torch import nn

from smalti.export import export_onnx
from smalti.export.verify import rounding_layers
from smalti.quant import quantize_
from smalti.quant.layers import VQConv2d, VQLinear
from smalti.quant.refine import RefinementError, _Student, refine_
from smalti.runtime import Session


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 96), nn.LayerNorm(96), nn.GELU(), nn.Linear(96, 32, bias=False)
    )


def conv_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(16, 48, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(48),
        nn.ReLU(),
        nn.Conv2d(48, 40, (1, 3), padding="same"),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(40 * 9, 10),
    )


def data(net, count=12):
    shape = (16, 64) if net is mlp else (16, 16, 6, 6)
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(shape, generator=generator),) for _ in range(count)]


def quantized(net, form, activations="int8"):
    reference = net()
    module = copy.deepcopy(reference)
    quantize_(module, form, activations=activations)
    return module, reference


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(module, before):
    after = module.state_dict()
    return after.keys() == before.keys() and all(torch.equal(after[n], before[n]) for n in before)


FORMS = ["vq-4x256", "vq-2x16-row", "int2-g32", "nf4", {"*": "vq-2x16", "0": "mxfp4"}]


@pytest.mark.parametrize("net", [mlp, conv_net])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_lowers_the_held_out_loss_and_leaves_codes_alone(net, form):
    module, reference = quantized(net, form)
    before, batches = state(module), data(net)
    losses = refine_(module, reference, batches, epochs=3)
    assert len(losses) == 4 and min(losses) < losses[0]
    assert min(losses) == pytest.approx(held_out(module, reference, batches), rel=1e-5)
    after = module.state_dict()
    assert after.keys() == before.keys()
    changed = {n for n in before if not torch.equal(after[n], before[n])}
    assert changed and all(re.search(r"scales$|bias$|weight$", name) for name in changed)
    assert all(after[name].dtype == before[name].dtype for name in before)


@torch.no_grad()
def held_out(module, reference, batches):
    """Of 12 batches, every tenth from the sixth."""
    (x,) = batches[5]
    module, reference = module.eval(), reference.eval()
    return float(0.5 * (module(x) - reference(x)).square().sum() / len(x))


def test_two_bits_gain_a_good_part():
    module, reference = quantized(mlp, "vq-4x256")
    losses = refine_(module, reference, data(mlp, 40), epochs=4)
    assert min(losses) < 0.95 * losses[0]


def test_logits_are_compared_by_divergence():
    module, reference = quantized(conv_net, "vq-4x256")
    batches = data(conv_net)
    losses = refine_(module, reference, batches, epochs=3, loss="logits")
    with torch.no_grad():
        (x,) = batches[5]
        p, q = reference.eval()(x).softmax(-1), module.eval()(x).softmax(-1)
    assert min(losses) < losses[0]
    assert min(losses) == pytest.approx(float((p * (p / q).log()).sum(-1).mean()), rel=1e-3)


@pytest.mark.parametrize("net", [mlp, conv_net])
@pytest.mark.parametrize("form", ["vq-2x64-g64", "vq-2x16-row", "int4-g32", "nf4", "nvfp4"])
def test_what_is_trained_computes_what_is_stored(net, form):
    module, _ = quantized(net, form, activations="float")
    module.eval()
    student, batch = _Student(module), data(net, 1)[0]
    with torch.no_grad():
        for leaf in [*student.factors.values(), *student.vectors.values()]:
            leaf.add_(0.1 * torch.randn(leaf.shape))
        trained = student.outputs(batch)
        stored = student.stored_outputs(batch)
        student.write(student.stored())
        written = module(*batch)
    assert torch.equal(stored, written)
    assert (trained - written).norm() < 1e-3 * written.norm()


def test_the_result_is_a_quantized_module_that_exports(tmp_path):
    module, reference = quantized(conv_net, "vq-4x256", activations="float")
    batches = data(conv_net)
    refine_(module, reference, batches, epochs=1)
    assert [type(m) for m in module if m not in reference][0] is VQConv2d
    assert type(module[6]) is VQLinear and "forward" not in vars(module[6])
    export_onnx(module, batches[0], tmp_path / "m.onnx", fallback="none")
    (found,) = Session(tmp_path / "m.onnx", threads=1).run(batches[0][0].numpy())
    expected = module.eval()(*batches[0]).detach()
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-4)


def test_a_rate_too_high_never_makes_it_worse():
    module, reference = quantized(mlp, "vq-2x16")
    before = state(module)
    losses = refine_(module, reference, data(mlp), epochs=2, learning_rate=30.0)
    assert min(losses[1:]) > losses[0]
    assert same(module, before)


def test_the_same_data_gives_the_same_module():
    found = []
    for seed in (1, 2):
        module, reference = quantized(mlp, "vq-4x256")
        torch.manual_seed(seed)
        refine_(module, reference, iter(data(mlp)), epochs=2)
        found.append(state(module))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_modes_and_gradients_are_as_they_were():
    module, reference = quantized(conv_net, "vq-4x256")
    module.train()
    module[2].eval()
    module[1].weight.requires_grad_(False)
    module[1].bias.grad = torch.ones(48)
    statistics = module[1].running_mean.clone(), module[1].num_batches_tracked.clone()
    bias = module[1].bias
    refine_(module, reference, data(conv_net), epochs=1)
    assert [m.training for m in module] == [True, True, False, True, True, True, True]
    assert torch.equal(module[1].running_mean, statistics[0])
    assert torch.equal(module[1].num_batches_tracked, statistics[1])
    assert not module[1].weight.requires_grad and module[1].bias.requires_grad
    assert module[1].bias is bias and torch.equal(bias.grad, torch.ones(48))
    assert all(p.grad is None for p in reference.parameters())
    assert len(rounding_layers(module)) == 3


def test_tied_scales_stay_tied_and_those_of_tables_stay():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.head = nn.Embedding(256, 64), nn.Linear(64, 256, bias=False)
            self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
            self.head.weight, self.second.weight = self.embed.weight, self.first.weight

        def forward(self, indices):
            return self.head(self.second(self.first(self.embed(indices))))

    reference = Tied()
    module = copy.deepcopy(reference)
    quantize_(module, "vq-2x16")
    before = state(module)
    tokens = torch.randint(0, 256, (6, 4, 8), generator=torch.Generator().manual_seed(0))
    losses = refine_(module, reference, [(t,) for t in tokens], epochs=3)
    assert min(losses) < losses[0]
    assert module.first.scales is module.second.scales
    assert not torch.equal(module.first.scales, before["first.scales"])
    assert module.head.scales is module.embed.scales
    assert torch.equal(module.embed.scales, before["embed.scales"])


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupted_refinement_changes_nothing(late):
    module, reference = quantized(conv_net, "vq-4x256")
    before, batches = state(module), data(conv_net)

    def progress(epoch, loss):
        raise KeyboardInterrupt

    if not late:
        batches[7] = (torch.randn(16, 5, 6, 6),)
    with pytest.raises(KeyboardInterrupt if late else RuntimeError):
        refine_(module, reference, batches, epochs=2, progress=progress)
    assert same(module, before)
    assert all(m.training for m in module) and not any("forward" in vars(m) for m in module)


def test_losses_that_are_not_finite_name_the_mend():
    module, reference = quantized(mlp, "vq-2x16")
    before, batches = state(module), data(mlp)
    batches[3][0][2, 5] = float("nan")
    with pytest.raises(RefinementError, match=r"the loss is nan; lower the learning rate \(0.01\)"):
        refine_(module, reference, batches)
    assert same(module, before)


def test_unusable_arguments_are_refused():
    module, reference = quantized(mlp, "vq-2x16")
    with pytest.raises(RefinementError, match="0 batches .* at least two"):
        refine_(module, reference, [])
    with pytest.raises(RefinementError, match="1 batches .* at least two"):
        refine_(module, reference, data(mlp, 1))
    with pytest.raises(RefinementError, match="loss='kl'; use one of values, logits"):
        refine_(module, reference, data(mlp), loss="kl")
    with pytest.raises(RefinementError, match="shares 0.bias with the module"):
        refine_(module, module, data(mlp))
    pair = nn.ModuleList([module])
    pair.forward = lambda x: (module(x), x)
    with pytest.raises(RefinementError, match="returns tuple; wrap it"):
        refine_(pair, reference, data(mlp))


def test_progress_hears_of_every_epoch():
    module, reference = quantized(mlp, "vq-2x16")
    heard = []
    losses = refine_(
        module, reference, data(mlp), epochs=2, progress=lambda *news: heard.append(news)
    )
    assert heard == [(1, losses[1]), (2, losses[2])]


def test_a_module_without_anything_to_train_is_refused():
    reference = nn.Sequential(nn.Linear(64, 64, bias=False))
    module = copy.deepcopy(reference)
    quantize_(module, "mxfp4")
    with pytest.raises(RefinementError, match="nothing to refine"):
        refine_(module, reference, [(torch.randn(4, 64),)] * 2)
