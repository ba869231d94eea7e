"""Modules that are affine along an axis, as Linear layers: what folds, what stays, and why."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from smalti.export import fold_
from smalti.export.fold import AlongAxis, Basis, fold_linear_


@pytest.fixture(autouse=True)
def without_gradients():
    torch.manual_seed(3)
    with torch.no_grad():
        yield


class LoRA(nn.Module):
    """Hu et al. 2022: a base layer and a product of rank r beside it."""

    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + 0.5 * self.up(self.down(x))


class SVFT(nn.Module):
    """Lingam et al. 2024: learned numbers between the base weight's singular vectors."""

    def __init__(self, inputs, outputs):
        super().__init__()
        u, s, v = torch.linalg.svd(torch.randn(outputs, inputs), full_matrices=False)
        for name, value in (("u", u), ("s", s), ("v", v)):
            self.register_buffer(name, value)
        self.core = nn.Parameter(0.1 * torch.randn(len(s), len(s)))

    def forward(self, x):
        return ((x @ self.v.T) @ (torch.diag(self.s) + self.core).T) @ self.u.T


class FourierFT(nn.Module):
    """Gao et al. 2024: the base layer's change has a few random frequencies."""

    def __init__(self, base, count=20):
        super().__init__()
        self.base = base
        numbers = base.weight.numel()
        self.register_buffer("at", torch.randperm(numbers)[:count])
        self.values = nn.Parameter(torch.randn(count))

    def forward(self, x):
        spectrum = x.new_zeros(self.base.weight.numel())
        spectrum[self.at] = self.values
        change = torch.fft.ifft2(spectrum.view_as(self.base.weight).to(torch.complex128)).real
        return self.base(x) + x @ change.to(x.dtype).T


class NormLin(nn.Module):
    """OLinear (Yue et al. 2025): softplus of the weight, with rows of sum 1."""

    def __init__(self, size, axis=-1):
        super().__init__()
        self.weight, self.axis = nn.Parameter(torch.randn(size, size)), axis

    def forward(self, x):
        mixing = functional.normalize(functional.softplus(self.weight), p=1, dim=-1)
        return (x.transpose(self.axis, -1) @ mixing.T).transpose(self.axis, -1)


class Rotation(nn.Module):
    """A fixed orthogonal transform, as OLinear's of the training data's correlation."""

    def __init__(self, size):
        super().__init__()
        self.register_buffer("q", torch.linalg.qr(torch.randn(size, size))[0])

    def forward(self, x):
        return x @ self.q


class Spectral(nn.Module):
    """A complex layer and an inverse transform, on pairs of numbers: quantization knows neither."""

    def __init__(self, bins, count):
        super().__init__()
        self.complex, self.count = nn.Linear(bins, bins, dtype=torch.cdouble), count

    def forward(self, x):
        spectrum = self.complex(torch.view_as_complex(x.unflatten(-1, (-1, 2))))
        return torch.fft.irfft(spectrum)[..., : self.count]


class Doubled(nn.Linear):
    """A subclass, which quantization would not know."""

    def forward(self, x):
        return super().forward(2 * x) + 1


FOLDS = {
    "lora": (lambda: LoRA(nn.Linear(12, 8), 2), (3, 12), nn.Linear),
    "lora of tokens": (lambda: LoRA(nn.Linear(12, 8, bias=False), 2), (2, 5, 12), nn.Linear),
    "svft": (lambda: SVFT(12, 8), (3, 12), nn.Linear),
    "fourierft": (lambda: FourierFT(nn.Linear(12, 8)), (3, 12), nn.Linear),
    "normlin": (lambda: NormLin(8), (2, 3, 8), nn.Linear),
    "normlin of series": (lambda: NormLin(5, -2), (2, 5, 7), AlongAxis),
    "rotation": (lambda: Rotation(8), (2, 3, 8), Basis),
    "complex": (lambda: Spectral(6, 5), (2, 3, 12), nn.Linear),
    "subclass": (lambda: Doubled(8, 4), (2, 8), nn.Linear),
    "two layers": (lambda: Residual(nn.Linear(6, 9), nn.Linear(9, 6)), (2, 6), nn.Linear),
}


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


@pytest.mark.parametrize(("make", "shape", "kind"), FOLDS.values(), ids=FOLDS)
def test_an_affine_module_becomes_one_layer(make, shape, kind):
    module = nn.Sequential(nn.Tanh(), make(), nn.Tanh()).double().eval()
    x = torch.randn(shape, dtype=torch.float64)
    expected = module(x)
    (row,) = fold_(module, (x,))
    assert (row.name, row.kind, row.reason) == ("1", "affine module", "")
    assert type(module[1]) is kind
    found = module(x)
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    assert row.bytes_after <= row.bytes_before
    assert row.error < 1e-12


class Clamped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = LoRA(nn.Linear(6, 6), 2)

    def forward(self, x):
        return self.inner(x).clamp(-1e5, 1e5)


class Position(nn.Module):
    """Affine, but not the same for every token."""

    def __init__(self):
        super().__init__()
        self.where = nn.Parameter(torch.randn(40, 6))

    def forward(self, x):
        return x + self.where[: x.shape[-2]]


class Product(nn.Module):
    """A low-rank product without a base."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(32, 2, bias=False), nn.Linear(2, 32)

    def forward(self, x):
        return self.up(self.down(x))


class Causal(nn.Module):
    """The mean of all tokens so far, of a sequence of any length up to 64."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tril(torch.ones(64, 64)))

    def forward(self, x):
        weights = self.weights[: x.shape[-2], : x.shape[-2]]
        return (weights / weights.sum(1, keepdim=True)) @ x


class DropPath(nn.Module):
    def forward(self, x):
        return x if not self.training else x * 2


def test_a_clamp_stays_and_what_is_inside_folds():
    module = nn.Sequential(Clamped()).double().eval()
    (row,) = fold_(module, (torch.randn(4, 6, dtype=torch.float64),))
    assert (row.name, row.reason) == ("0.inner", "")
    assert type(module[0]) is Clamped and type(module[0].inner) is nn.Linear


@pytest.mark.parametrize("part", [Position(), Causal(), DropPath(), nn.Identity()])
def test_what_is_no_matrix_along_an_axis_stays_without_a_word(part):
    module = nn.Sequential(part, nn.Linear(6, 6)).double().eval()
    assert fold_(module, (torch.randn(2, 5, 6, dtype=torch.float64),)) == []
    assert module[0] is part


def test_a_product_that_is_smaller_than_its_matrix_stays_unless_declared():
    x = torch.randn(3, 32)
    module = nn.Sequential(nn.Tanh(), Product()).eval()
    expected = module(x)
    (row,) = fold_(module, (x,))
    assert "its parts are smaller than a dense matrix of 4096 bytes" in row.reason
    assert type(module[1]) is Product
    declared = fold_linear_(module, "1", (x,))
    assert declared.bytes_after > declared.bytes_before
    torch.testing.assert_close(module(x), expected)


def test_layers_in_several_places_fold_once_and_everywhere():
    shared = LoRA(nn.Linear(6, 6), 2)
    module = nn.Sequential(shared, nn.Tanh(), nn.Sequential(shared)).double().eval()
    x = torch.randn(2, 6, dtype=torch.float64)
    expected = module(x)
    (row,) = fold_(module, (x,))
    assert not row.reason and module[2][0] is module[0]
    torch.testing.assert_close(module(x), expected)


def test_shared_weights_and_hooks_keep_a_module_in_place():
    x = torch.randn(2, 6)
    module = nn.Sequential(LoRA(nn.Linear(6, 6), 2), nn.Tanh(), LoRA(nn.Linear(6, 6), 2)).eval()
    module[0].base.weight = module[2].base.weight
    first, second = fold_(module, (x,))
    assert "shares weights with 2.base" in first.reason
    assert "shares weights with 0.base" in second.reason
    module[2].base = nn.Linear(6, 6).eval()
    seen = []
    module[2].down.register_forward_hook(lambda *_: seen.append(1))
    first, second = fold_(module, (x,))
    assert first.reason == "" and "hooks" in second.reason
    seen.clear()
    module(x)
    assert seen == [1]


def test_a_wrapper_of_one_layer_keeps_its_name():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.dropout = nn.Linear(6, 6), nn.Dropout()

        def forward(self, x):
            return self.dropout(self.linear(x))

    module = nn.Sequential(Dense(), nn.Tanh()).eval()
    assert fold_(module, (torch.randn(2, 6),)) == []


@settings(max_examples=25)
@given(
    inputs=st.integers(1, 9),
    outputs=st.integers(1, 9),
    rank=st.integers(1, 4),
    bias=st.booleans(),
    leading=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    scale=st.floats(-3, 3),
)
def test_any_adapter_of_any_shape_folds_exactly(inputs, outputs, rank, bias, leading, scale):
    layer = LoRA(nn.Linear(inputs, outputs, bias=bias), rank)
    layer.up.weight *= scale
    module = nn.Sequential(layer, nn.Tanh()).double().eval()
    x = torch.randn(*leading, inputs, dtype=torch.float64)
    expected = module(x)
    (row,) = fold_(module, (x,))
    assert not row.reason
    torch.testing.assert_close(module(x), expected, rtol=1e-9, atol=1e-12)
