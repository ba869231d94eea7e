"""Sketches of Hessians against their definitions, and their collection from a model."""

import pytest
import torch
from torch import Tensor, nn

from smalti.quant.hessian import Hessian
from smalti.quant.observe import CalibrationError, estimate
from smalti.quant.random_inputs import random_batches
from smalti.quant.sums import Sums
from smalti.runtime.errors import FileError

GENERATOR = torch.Generator().manual_seed(0)


def tokens(samples: int, length: int, n: int, m: int) -> tuple[Tensor, Tensor]:
    return (
        torch.randn(samples, length, n, generator=GENERATOR),
        torch.randn(samples, length, m, generator=GENERATOR),
    )


@pytest.mark.parametrize("length", [1, 3, 40])  # fewer tokens than columns, and more
def test_sketch_b_is_the_moment_of_each_samples_gradient(length):
    x, g = tokens(5, length, 12, 8)
    found = Hessian.zeros(8, 12, two_sided=True)
    found.add_samples(x, g)
    one = torch.cat([x, torch.ones(5, length, 1)], 2)
    gradients = torch.einsum("stm,stn->smn", g, one)
    assert torch.allclose(
        found.inputs, torch.einsum("smn,smk->nk", gradients, gradients), rtol=1e-3
    )
    own = gradients[:, :, :-1]
    assert torch.allclose(found.outputs, torch.einsum("smn,skn->mk", own, own), rtol=1e-3)
    assert found.samples == 5


def test_sketch_a_weighs_each_side_by_the_other():
    x, g = tokens(1, 20, 6, 4)
    first = Hessian.zeros(4, 6, two_sided=True)
    first.add_tokens(x[0], g[0], None)
    second = Hessian.zeros(4, 6, two_sided=True)
    second.add_tokens(x[0], g[0], first)
    one = torch.cat([x[0], torch.ones(20, 1)], 1)
    by_g = torch.einsum("tm,mk,tk->t", g[0], first.outputs, g[0]) / first.outputs.square().sum()
    expected = torch.einsum("t,tn,tk->nk", by_g, one, one)
    assert torch.allclose(second.inputs, expected, rtol=1e-3, atol=1e-4)


def test_what_the_bias_makes_up_for_is_a_schur_complement():
    """The least loss over biases of an error E is that of the centred factor."""
    x, g = tokens(30, 2, 6, 4)
    found = Hessian.zeros(4, 6, two_sided=True)
    found.add_samples(x + 1, g)
    error = torch.randn(4, 6, generator=GENERATOR)
    with_bias = torch.cat([error, -(error @ found.centre).unsqueeze(1)], 1)
    least = (with_bias @ found.inputs * with_bias).sum()
    assert float((error @ found.centred() * error).sum()) == pytest.approx(float(least), rel=1e-3)
    for shift in (-0.1, 0.1):
        other = with_bias.clone()
        other[:, -1] += shift
        assert float((other @ found.inputs * other).sum()) > float(least)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(10, 8)
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4 * 8, 5)

    def forward(self, indices: Tensor) -> Tensor:
        image = self.table(indices).unsqueeze(1)  # (N, 1, 4, 8)
        return self.head(self.relu(self.conv(image)).flatten(1))


BATCHES = [(torch.randint(10, (6, 4), generator=GENERATOR),) for _ in range(3)]


def expected_b(module: Small, loss: str) -> dict[str, Tensor]:
    """G^T G by plain autograd, sample by sample, with the same random draws."""
    found = {"conv": torch.zeros(9, 9), "head": torch.zeros(32, 32)}
    for index, (batch,) in enumerate(BATCHES):
        generator = torch.Generator().manual_seed(index)
        output = module(batch)
        if loss == "values":
            scores = (output * torch.randn(output.shape, generator=generator)).sum(1)
        else:
            logits = output.log_softmax(-1)
            labels = torch.multinomial(logits.detach().exp(), 1, generator=generator)
            scores = -logits.gather(1, labels).squeeze(1)
        for score in scores:
            module.zero_grad()
            score.backward(retain_graph=True)
            for name in found:
                g = module.get_submodule(name).weight.grad.flatten(1)
                found[name] += g.T @ g
    return found


@pytest.mark.parametrize("loss", ["values", "logits"])
def test_estimate_equals_gradients_sample_by_sample(loss):
    module = Small()
    expected = expected_b(module, loss)
    found = estimate(module, BATCHES, loss=loss)
    for name, inputs in expected.items():
        assert torch.allclose(found[name].inputs[:-1, :-1], inputs, rtol=1e-3, atol=1e-5)
    assert found["table"].outputs is None
    assert all(h.samples == 18 for h in found.values())


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.complex, self.real = nn.Linear(4, 4, dtype=torch.cfloat), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.real(torch.fft.irfft(self.complex(torch.fft.rfft(x))))


def test_complex_layers_are_passed_over():
    assert list(estimate(Spectrum(), [(torch.randn(3, 6),)])) == ["real"]


def test_a_module_is_left_as_it_was():
    module = Small().train()
    module.table.weight.requires_grad_(False)
    estimate(module, BATCHES, sketch="A", passes=2)
    assert module.training
    assert not module.table.weight.requires_grad
    assert module.head.weight.requires_grad
    assert not any(layer._forward_hooks for layer in module.modules())
    assert module.head.weight.grad is None


@pytest.mark.parametrize("sketch", ["A", "B", "inputs"])
def test_sums_go_on_after_a_stop(sketch, tmp_path, monkeypatch):
    monkeypatch.setattr("smalti.quant.observe._SAVE_EVERY", 1)
    path = tmp_path / "sums.safetensors"
    whole = estimate(Small(), BATCHES, sketch=sketch, passes=2)

    def stop(done: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate(Small(), BATCHES, sketch=sketch, passes=2, save_to=path, progress=stop)
    seen: list[int] = []
    found = estimate(Small(), BATCHES, sketch=sketch, passes=2, save_to=path, progress=seen.append)
    assert seen == [5, 6]
    for name, hessian in whole.items():
        assert torch.allclose(found[name].inputs, hessian.inputs, rtol=1e-5, atol=1e-7)
    assert not list(tmp_path.glob(".*"))


def test_sums_from_a_file_are_the_same_numbers(tmp_path):
    """Else layers that were rounded by the ones would not be found again by the others."""
    path = tmp_path / "sums.safetensors"
    first = estimate(Small(), BATCHES, save_to=path)
    again = estimate(Small(), BATCHES, save_to=path)
    for name, hessian in first.items():
        assert torch.equal(again[name].inputs, hessian.inputs)
        assert torch.equal(hessian.inputs, hessian.inputs.T)


def test_a_foreign_file_is_refused(tmp_path):
    path = tmp_path / "sums.safetensors"
    path.write_bytes(b"not sums")
    with pytest.raises(FileError, match="no sums of Hessians"):
        Sums.load(path)


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        ([], {}, "no calibration data"),
        (BATCHES, {"sketch": "C"}, "sketch='C'"),
        (BATCHES, {"loss": "l1"}, "loss='l1'"),
    ],
)
def test_unusable_calibration_is_refused(batches, options, message):
    with pytest.raises(CalibrationError, match=message):
        estimate(Small(), batches, **options)


def test_data_that_give_nan_name_the_layer():
    module = nn.Sequential(nn.Linear(4, 4))
    with pytest.raises(CalibrationError, match="layer 0"):
        estimate(module, [(torch.full((2, 4), torch.nan),)])


def test_made_up_inputs_look_like_the_example():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 4)

        def forward(self, ids: Tensor, mask: Tensor, x: Tensor) -> Tensor:
            return (self.table(ids) * mask.unsqueeze(-1)).sum(1) + x

    example = (torch.tensor([[1, 2, 3]]), torch.tensor([[1, 1, 0]]), torch.randn(1, 4) * 3 + 5)
    found = list(random_batches(Masked(), example, 3, size=16))
    assert [tuple(x.shape for x in batch) for batch in found] == [((16, 3), (16, 3), (16, 4))] * 3
    ids = torch.cat([batch[0] for batch in found])
    assert int(ids.min()) >= 0
    assert 40 < int(ids.max()) < 50
    assert all(torch.equal(batch[1], example[1].repeat(16, 1)) for batch in found)
    assert not torch.equal(found[0][0], found[1][0])
    again = list(random_batches(Masked(), example, 3, size=16))
    pairs = [p for x, y in zip(found, again, strict=True) for p in zip(x, y, strict=True)]
    assert all(torch.equal(a, b) for a, b in pairs)
