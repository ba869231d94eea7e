"""Parametrizations, adapters that merge, and what holds for all folds."""

import pytest
import torch
from folding import exports, folded, rand, trained
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from smalti.export import fold_
from smalti.export.fold import FoldError
from smalti.quant import quantize_


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def conv():
    return nn.Conv2d(4, 4, 1)


def norm():
    return nn.BatchNorm2d(4)


class Symmetric(nn.Module):
    """A parametrization of the user's own."""

    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)


def symmetric(linear):
    parametrize.register_parametrization(linear, "weight", Symmetric())
    return linear


PARAMETRIZED = {
    "cayley": lambda: orthogonal(nn.Linear(6, 6), orthogonal_map="cayley"),
    "matrix_exp": lambda: orthogonal(nn.Linear(6, 6), orthogonal_map="matrix_exp"),
    "weight_norm": lambda: weight_norm(nn.Linear(6, 6)),
    "spectral_norm": lambda: spectral_norm(nn.Linear(6, 6)),
    "both": lambda: symmetric(spectral_norm(nn.Linear(6, 6))),
    "own": lambda: symmetric(nn.Linear(6, 6)),
    "bias too": lambda: weight_norm(weight_norm(nn.Linear(6, 6)), "bias", dim=None),
    "old weight_norm": lambda: nn.utils.weight_norm(nn.Linear(6, 6)),
    "old spectral_norm": lambda: nn.utils.spectral_norm(nn.Linear(6, 6)),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("make", PARAMETRIZED.values(), ids=PARAMETRIZED)
def test_a_parametrization_becomes_the_weight_that_it_gives(make):
    x = rand(5, 6)
    module = trained(nn.Sequential(make(), nn.ReLU(), nn.Linear(6, 3)), x)
    plain, rows = folded(module, x)
    assert [(r.name, r.kind, r.reason) for r in rows] == [("0", "parametrization", "")]
    assert type(plain[0]) is nn.Linear
    assert list(dict(plain[0].named_parameters())) == ["weight", "bias"]
    assert not plain[0]._forward_pre_hooks
    assert type(module[0]) is not nn.Linear or module[0]._forward_pre_hooks, "the original stays"
    module(x)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_was_parametrized_exports(tmp_path):
    x = rand(5, 6)
    layers = [orthogonal(nn.Linear(6, 6)), nn.ReLU(), nn.utils.weight_norm(nn.Linear(6, 3))]
    module = trained(nn.Sequential(*layers), x)
    exports(folded(module, x)[0], module, x, tmp_path)


def test_a_parametrized_recurrent_layer_uses_its_new_weight():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = weight_norm(nn.LSTM(4, 6, batch_first=True), "weight_hh_l0")

        def forward(self, x):
            return self.lstm(x)[0][:, -1]

    x = rand(2, 5, 4)
    plain, rows = folded(trained(Last(), x), x)
    assert type(plain.lstm) is nn.LSTM and not rows[0].reason


def test_a_parametrized_weight_that_others_share_stays():
    module = nn.Sequential(weight_norm(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 6))
    module[2].weight = module[0].parametrizations.weight.original1
    (row,) = fold_(module.eval(), (rand(2, 6).float(),))
    assert "shares weights with 2" in row.reason
    assert parametrize.is_parametrized(module[0])


class Adapter(nn.Module):
    """Has the methods of an adapter that merges itself, and more arguments than one tensor."""

    def __init__(self, base, rank=2):
        super().__init__()
        self.base_layer = base
        self.a = nn.Parameter(torch.randn(rank, base.weight[0].numel()))
        self.b = nn.Parameter(torch.randn(len(base.weight), rank))
        self.merged = False

    def delta(self):
        return (self.b @ self.a).view_as(self.base_layer.weight)

    def merge(self):
        if not self.merged:
            self.base_layer.weight.data += self.delta()
            self.merged = True

    def get_base_layer(self):
        return self.base_layer

    def forward(self, x, *args):
        y = self.base_layer(x)
        if self.merged:
            return y
        base, delta = self.base_layer, self.delta()
        if isinstance(base, nn.Conv2d):
            return y + nn.functional.conv2d(x, delta, None, base.stride, base.padding)
        return y + x @ delta.T


@pytest.mark.parametrize("merged", [False, True])
def test_an_adapter_merges_into_its_base_layer(merged, tmp_path):
    x = rand(2, 3, 8, 8)
    layers = [Adapter(nn.Conv2d(3, 4, 3, 2, 1)), nn.Flatten(), Adapter(nn.Linear(64, 5))]
    module = trained(nn.Sequential(*layers), x)
    if merged:
        module[0].merge()
    plain, rows = folded(module, x)
    assert [(r.name, r.kind, r.reason) for r in rows] == [
        ("0", "adapter", ""),
        ("2", "adapter", ""),
    ]
    assert [type(layer) for layer in plain] == [nn.Conv2d, nn.Flatten, nn.Linear]
    exports(plain, module, x, tmp_path)


def test_an_adapter_that_merges_something_else_stays():
    class Wrong(Adapter):
        def merge(self):
            self.base_layer.weight.data += 2 * self.delta()

    x = rand(4, 6)
    _, rows = folded(trained(nn.Sequential(Wrong(nn.Linear(6, 6), rank=6), nn.ReLU()), x), x)
    assert "would change its output" in rows[0].reason
    assert rows[1].kind == "affine module" and not rows[1].reason, "what it computes folds"


def test_training_mode_is_refused_with_the_mend():
    module = nn.Sequential(conv(), norm()).eval()
    module[1].train()
    with pytest.raises(FoldError, match=r"layer 1 is in training mode.*module.eval\(\)"):
        fold_(module, (rand(2, 4, 3, 3).float(),))


def test_a_module_that_is_random_is_refused():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.randn_like(x)

    with pytest.raises(FoldError, match="random"):
        fold_(nn.Sequential(Noisy()).eval(), (rand(2, 4),))


def test_folding_twice_changes_nothing_more():
    x = rand(2, 4, 6, 6)
    module = trained(nn.Sequential(weight_norm(conv()), norm(), nn.ReLU()), x)
    plain, rows = folded(module, x)
    assert {r.kind for r in rows} == {"parametrization", "batch norm"}
    assert folded(plain, x)[1] == []


def test_inputs_stay_as_they_were():
    x = rand(2, 4, 3, 3)
    module = trained(nn.Sequential(nn.ReLU(inplace=True), conv(), norm(), nn.ReLU(inplace=True)), x)
    y = rand(2, 4, 3, 3)
    _, rows = folded(module, y.clone())
    given = y.clone()
    fold_(module, (given,))
    assert torch.equal(given, y) and not rows[0].reason


def test_quantization_sees_the_folded_layers():
    x = torch.randn(4, 64)
    layers = [orthogonal(nn.Linear(64, 64)), nn.ReLU(), Adapter(nn.Linear(64, 64))]
    module = nn.Sequential(*layers, nn.ReLU(), nn.Linear(64, 8), nn.BatchNorm1d(8)).eval()
    fold_(module, (x,))
    rows = {row.name: row.format for row in quantize_(module, "vq-2x64")}
    assert {name: rows[name] for name in ("0", "2")} == {"0": "vq-2x64-g128", "2": "vq-2x64-g128"}
