"""Batch norms: into what they fold, and where they stay."""

import pytest
import torch
from folding import exports, folded, rand, trained
from torch import nn

from smalti.export import fold_


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


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
    plain, found = folded(module, x)
    rows = [r for r in found if r.kind != "transposed convolution"]  # that comes afterwards
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
