"""BinaryConv2d: trains in two stages, folds to bits without a change, runs in both engines."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from smalti.export import export_onnx, export_tflite, fold_
from smalti.quant import quantize_
from smalti.quant.training import fine_tune
from smalti.runtime import Session
from smalti.runtime.ops.binary_conv.module import BinaryConv2d, PackedBinaryConv2d, real_weights


def layer(**options) -> BinaryConv2d:
    torch.manual_seed(0)
    return BinaryConv2d(3, 5, 3, padding=1, **options)


def test_weights_are_a_square_wave_and_its_sine_while_real() -> None:
    conv = layer(frequency=7.0)
    conv.weight.data[0, 0, 0] = torch.tensor([0.0, 0.1, 0.5])  # 7 w: 0, and either side of pi
    wave = conv.kernels()
    assert wave[0, 0, 0].tolist() == [1, 1, -1]
    assert torch.equal(wave.abs(), torch.ones_like(wave))
    with real_weights(nn.Sequential(conv)):
        assert torch.equal(conv.kernels(), torch.sin(7 * conv.weight))
    assert torch.equal(conv.kernels(), wave)


@pytest.mark.parametrize("real", [True, False])
def test_weights_learn_by_the_sine(real: bool) -> None:
    conv = layer()
    conv.real = real
    seen = torch.randn_like(conv.weight)
    conv.kernels().backward(seen)
    wanted = seen * 20 * torch.cos(20 * conv.weight.detach())
    assert torch.allclose(conv.weight.grad, wanted, rtol=1e-6)


def test_activations_learn_by_the_triangle() -> None:
    conv = layer(bias=False).train()
    x = (torch.randn(2, 3, 4, 4) * torch.tensor([0.1, 30.0]).view(2, 1, 1, 1)).requires_grad_()
    conv(x).sum().backward()
    signs = torch.where(x >= 0, 1.0, -1.0).detach().requires_grad_()
    weight = (conv.kernels() * conv.alpha.view(-1, 1, 1, 1)).detach()
    conv2d(signs, weight, padding=1).sum().backward()
    size = x.detach().square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-5
    slope = (2 - 2 * (x.detach() / size).abs()).clamp(min=0) / size
    assert torch.allclose(x.grad, signs.grad * slope, rtol=1e-3, atol=1e-6)
    assert (slope == 0).any()


def test_alpha_and_bias_learn() -> None:
    conv, x = layer().train(), torch.randn(2, 3, 6, 6)
    conv(x).square().sum().backward()
    assert conv.alpha.grad.abs().min() > 0
    assert conv.bias.grad.abs().min() > 0


@pytest.mark.parametrize("bias", [True, False])
def test_modes_and_packed_bits_agree(bias: bool) -> None:
    torch.manual_seed(1)
    conv = BinaryConv2d(9, 34, (3, 2), (2, 1), (1, 2), (1, 2), bias).eval()
    nn.init.normal_(conv.alpha)
    x = torch.randn(2, 9, 8, 7)
    x[0, :, :4] = 0
    packed, y = PackedBinaryConv2d(conv), conv(x)
    assert torch.equal(packed(x), y)
    assert torch.allclose(conv.train()(x), y, atol=1e-5)
    assert packed.codes.nbytes == 64 + 2 * 32 * 6 * 2
    assert str(packed) == "PackedBinaryConv2d(binary, 34 x 9 x 3 x 2)"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    conv = layer()
    conv.weight.data[1, 2, 0, 1] = value
    with pytest.raises(ValueError, match="weights: some are NaN or infinite"):
        PackedBinaryConv2d(conv)


class Residual(nn.Module):
    def __init__(self, channels: int, bias: bool, affine: bool) -> None:
        super().__init__()
        self.conv = BinaryConv2d(channels, channels, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm(self.conv(x))


def net() -> nn.Sequential:
    torch.manual_seed(2)
    stem = [nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)]
    middle = [Residual(16, True, False), BinaryConv2d(16, 40, 3, 2, bias=False), nn.BatchNorm2d(40)]
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 4)]
    return nn.Sequential(*stem, *middle, *head)


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Bars at one of four heights."""
    torch.manual_seed(3)
    labels = torch.randint(0, 4, (count, 32))
    images = 0.3 * torch.randn(count, 32, 1, 16, 16)
    for image, label in zip(images.flatten(0, 1), labels.flatten(), strict=True):
        image[0, 4 * label : 4 * label + 4] += 1
    return list(zip(images, labels, strict=True))


def error(module: nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return nn.functional.cross_entropy(module(batch[0]), batch[1])


@pytest.fixture(scope="module")
def trained() -> nn.Sequential:
    module, data = net(), batches(8)
    with real_weights(module):
        first = fine_tune(module, data, error, 3, 1e-2)
    second = fine_tune(module, data, error, 3, 1e-2)
    assert second[-1] < first[-1] < first[0]
    return module


def test_it_learns(trained: nn.Sequential) -> None:
    (images, labels), *_ = batches(9)[8:]
    with torch.no_grad():
        assert (trained(images).argmax(1) == labels).float().mean() > 0.9


def test_it_folds_with_its_batch_norm(trained: nn.Sequential) -> None:
    module, x = copy.deepcopy(trained), batches(1)[0][0]
    rows = fold_(module, (x,))
    kinds = [(row.name, row.kind, row.reason) for row in rows]
    assert kinds[:2] == [(name, "binary convolution", "") for name in ("2.conv", "3")]
    assert kinds[2:] == [(name, "batch norm", "") for name in ("1", "2.norm", "4")]
    assert rows[0].error == rows[1].error == 0
    assert type(module[2].conv) is type(module[3]) is PackedBinaryConv2d
    with torch.no_grad():
        assert torch.allclose(module(x), trained(x), atol=1e-5)


def test_a_layer_that_is_real_stays(trained: nn.Sequential) -> None:
    module = copy.deepcopy(trained)
    with real_weights(module):
        rows = fold_(module, (batches(1)[0][0],))
    assert [r.reason[:31] for r in rows[:2]] == ["folding would change its output"] * 2
    assert type(module[3]) is BinaryConv2d


def test_both_engines_give_what_torch_gives(trained: nn.Sequential, tmp_path) -> None:
    module, x = copy.deepcopy(trained), batches(1)[0][0]
    fold_(module, (x,))
    layers = quantize_(module, {})
    bits = {row.name: (row.format, row.shape, row.bytes) for row in layers if "Binary" in row.kind}
    assert bits == {
        "2.conv": ("binary", (16, 16, 3, 3), 64 + 32 * 9 * 2),
        "3": ("binary", (40, 16, 3, 3), 64 + 64 * 9 * 2),
    }
    export_onnx(module, (x,), tmp_path / "m.onnx", layers=layers, fallback="nofold")
    export_tflite(module, (x,), tmp_path / "m.tflite", layers=layers)
    with torch.no_grad():
        wanted = trained(x).numpy()
    for file, native in (("m.onnx", "require"), ("m.onnx", "off"), ("m.tflite", "require")):
        session = Session(tmp_path / file, native=native)
        (found,) = session.run(x.numpy())
        assert np.linalg.norm(found - wanted) <= 1e-5 * np.linalg.norm(wanted), (file, native)
        formats = [row["format"] for row in session.artifact.manifest["layers"]]
        assert formats.count("binary") == 2
