"""Parametrizations, adapters that merge, batch norms; what stays and why."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm

from smalti.export import export_onnx, fold_
from smalti.export.fold import FoldError
from smalti.quant import quantize_


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def trained(module, x):
    """In float64 and evaluation mode, with random parameters and statistics."""
    generator = torch.Generator().manual_seed(7)
    module.double().train()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator).double()
        for _ in range(3):  # norms and power iterations settle on something
            module(x)
    return module.eval()


def folded(module, *inputs):
    """Fold a copy; both give the same to 1e-6, and the copy exports."""
    copied = copy.deepcopy(module)
    expected = module(*inputs)
    rows = fold_(copied, inputs)
    found = copied(*inputs)
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    return copied, rows


def exports(module, original, x, tmp_path):
    """The files of both modules agree: export compares each with its own module."""
    x = x.float()
    expected = copy.deepcopy(original).float()(x)
    errors = export_onnx(module.float(), (x,), tmp_path / "m.onnx")
    assert errors[0] < 1e-5
    torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def rand(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


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


NORMED = {
    "conv1d": (lambda: [nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)], (2, 3, 9)),
    "conv2d": (lambda: [nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4)], (2, 3, 9, 9)),
    "groups": (lambda: [nn.Conv2d(4, 8, 3, groups=2, bias=False), nn.BatchNorm2d(8)], (2, 4, 6, 6)),
    "conv3d": (lambda: [nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3)], (2, 2, 4, 4, 4)),
    "transposed": (lambda: [nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)], (2, 3, 5, 5)),
    "linear": (lambda: [nn.Linear(5, 4), nn.BatchNorm1d(4)], (6, 5)),
    "not affine": (lambda: [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)], (2, 3, 5, 5)),
}


@pytest.mark.parametrize(("layers", "shape"), NORMED.values(), ids=NORMED)
def test_a_batch_norm_folds_into_the_layer_before_it(layers, shape, tmp_path):
    x = rand(*shape)
    module = trained(nn.Sequential(*layers(), nn.ReLU()), x)
    plain, rows = folded(module, x)
    assert [(r.name, r.kind, r.reason) for r in rows] == [("1", "batch norm", "")]
    assert rows[0].error < 1e-12 and rows[0].bytes_after < rows[0].bytes_before
    assert type(plain[1]) is nn.Identity
    if type(module[0]) in (nn.Linear, nn.ConvTranspose2d):
        exports(plain, module, x, tmp_path)


class Branching(nn.Module):
    def __init__(self, convs, norms, wire):
        super().__init__()
        self.convs, self.norms = nn.ModuleList(convs), nn.ModuleList(norms)
        self.wire = wire

    def forward(self, x):
        return self.wire(self.convs, self.norms, x)


def conv():
    return nn.Conv2d(4, 4, 1)


def norm():
    return nn.BatchNorm2d(4)


def used_twice(c, n, x):
    y = c[0](x)
    return n[0](y) + y


STAYS = {
    "used elsewhere": ([conv()], [norm()], used_twice, "also used elsewhere"),
    "conv twice": ([conv()], [norm()], lambda c, n, x: n[0](c[0](c[0](x))), "used several times"),
    "norm twice": ([conv()], [norm()], lambda c, n, x: n[0](n[0](c[0](x))), "or several do"),
    "norm first": ([conv()], [norm()], lambda c, n, x: c[0](n[0](x)), "no convolution"),
    "between": ([conv()], [norm()], lambda c, n, x: n[0](c[0](x).relu()), "no convolution"),
    "no statistics": (
        [conv()],
        [nn.BatchNorm2d(4, track_running_stats=False)],
        lambda c, n, x: n[0](c[0](x)),
        "reaches it",
    ),
    "another axis": (
        [nn.Linear(9, 9)],
        [nn.BatchNorm1d(4)],
        lambda c, n, x: n[0](c[0](x.flatten(2))),
        "another axis",
    ),
}


@pytest.mark.parametrize(("convs", "norms", "wire", "reason"), STAYS.values(), ids=STAYS)
def test_a_batch_norm_stays_where_it_cannot_fold(convs, norms, wire, reason):
    x = rand(2, 4, 3, 3)
    module = trained(Branching(convs, norms, wire), x)
    plain, (row,) = folded(module, x)
    assert reason in row.reason
    assert type(plain.norms[0]) is type(norms[0])


def test_a_norm_after_a_shared_weight_or_a_hook_stays():
    x = rand(2, 4, 3, 3)
    module = nn.Sequential(conv(), norm(), conv(), norm(), conv(), norm())
    module[2].weight = module[0].weight
    handle = module[4].register_forward_hook(lambda *_: None)
    rows = fold_(trained(module, x), (x,))
    assert "weight of the layer before it" in rows[0].reason
    assert "weight of the layer before it" in rows[1].reason
    assert "hooks" in rows[2].reason
    handle.remove()
    assert fold_(module, (x,))[2].reason == ""


def test_subclasses_of_batch_norms_stay():
    class WithRelu(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    x = rand(2, 4, 3, 3)
    module = trained(nn.Sequential(conv(), WithRelu(4)), x)
    assert folded(module, x)[1] == []


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
