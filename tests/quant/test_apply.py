import pytest
import torch
from torch import nn

from smalti.quant import quantize_
from smalti.quant.layers import VQConv2d, VQEmbedding, VQLinear
from smalti.quant.plan import PlanError
from smalti.quant.weight import WeightError
from smalti.runtime.format import FormatError

# Expected output error is the square root of the distortion of 4 bits, .008: about .09.
CLOSE = 0.12


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found - expected).norm() / expected.norm()).detach())


@pytest.mark.parametrize("width", [16, 27, 32, 36, 64, 96, 100, 147, 160, 384, 576])
@pytest.mark.parametrize("form", ["vq-1x16", "vq-2x256-row"])
def test_a_quantized_linear_layer_stays_close_at_any_width(width, form):
    torch.manual_seed(width)
    linear, x = nn.Linear(width, 256), torch.randn(8, width)
    expected = linear(x)
    module = nn.Sequential(linear)
    quantize_(module, form)
    assert isinstance(module[0], VQLinear)
    assert relative(module(x), expected) < CLOSE


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(16, 32, 3, padding=1),
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.Conv2d(64, 32, 1),
        nn.Conv2d(16, 32, (3, 5), dilation=2, padding="same"),
        nn.Conv2d(16, 32, 4, padding="same"),
        nn.Conv2d(16, 32, 2, padding="valid"),
    ],
)
def test_a_quantized_convolution_stays_close(conv):
    torch.manual_seed(0)
    x = torch.randn(2, conv.in_channels, 12, 15)
    expected = conv(x)
    module = nn.Sequential(conv)
    quantize_(module, "vq-1x16-row")
    assert isinstance(module[0], VQConv2d)
    assert module(x).shape == expected.shape
    assert relative(module(x), expected) < CLOSE


@pytest.mark.parametrize("width", [96, 128, 100, 27])
def test_a_quantized_embedding_stays_close(width):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Embedding(500, width))
    indices = torch.randint(0, 500, (3, 7))
    expected = module(indices)
    quantize_(module, "vq-1x16")
    assert isinstance(module[0], VQEmbedding)
    assert relative(module(indices), expected) < CLOSE


def test_fewer_bits_lose_more():
    torch.manual_seed(0)
    errors = []
    for form in ("vq-2x256", "vq-1x16", "vq-2x64", "vq-4x256", "vq-2x16"):
        report = quantize_(nn.Sequential(nn.Linear(512, 256)), form)[0]
        errors.append(report.error)
    assert errors == sorted(errors)


def test_everything_that_stays_in_float_has_a_reason():
    module = nn.ModuleDict(
        {
            "grouped": nn.Conv2d(32, 32, 3, groups=32),
            "reflecting": nn.Conv2d(32, 32, 3, padding_mode="reflect", padding=1),
            "narrow": nn.Linear(2, 4),
            "kept": nn.Linear(128, 128),
            "rescaled": nn.Embedding(100, 64, max_norm=1.0),
            "recurrent": nn.LSTM(64, 64),
            "attention": nn.MultiheadAttention(64, 4),
            "complex": nn.Linear(128, 128, dtype=torch.cfloat),
            "linear": nn.Linear(128, 128),
        }
    )
    reports = quantize_(module, {"*": "vq-2x64", "kept": "float"})
    reasons = {r.name: r.reason for r in reports if r.format == "float"}
    assert set(reasons) == {*module, "attention.out_proj"} - {"linear"}
    assert "32 groups" in reasons["grouped"]
    assert "reflect" in reasons["reflecting"]
    assert "too narrow" in reasons["narrow"]
    assert "plan" in reasons["kept"]
    assert "max_norm" in reasons["rescaled"]
    assert "LSTM" in reasons["recurrent"]
    assert "MultiheadAttention" in reasons["attention"]
    assert "complex numbers" in reasons["complex"]
    assert type(module["kept"]) is nn.Linear


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(1000, 64)
            self.head = nn.Linear(64, 1000, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, indices):
            return self.head(self.embed(indices))

    module = Tied()
    quantize_(module, "vq-1x16")
    assert module.embed.codes is module.head.codes
    assert module.embed.scales is module.head.scales


def test_a_layer_that_stands_in_two_places_is_replaced_in_both():
    shared = nn.Linear(64, 64)
    module = nn.Sequential(shared, nn.ReLU(), shared)
    quantize_(module, "vq-1x16")
    assert module[0] is module[2]
    assert isinstance(module[0], VQLinear)


def test_weights_that_are_not_finite_are_refused_by_name():
    module = nn.ModuleDict({"good": nn.Linear(64, 64), "bad": nn.Linear(64, 64)})
    with torch.no_grad():
        module["bad"].weight[3, 5] = float("nan")
    with pytest.raises(WeightError, match="layer bad: 1 weights are NaN"):
        quantize_(module, "vq-2x64")
    assert type(module["good"]) is nn.Linear, "a failed call must leave the module alone"


def test_unknown_settings_are_refused():
    with pytest.raises(FormatError, match="smalti has vq-1x16"):
        quantize_(nn.Sequential(nn.Linear(64, 64)), "vq-3x64")
    with pytest.raises(ValueError, match="activations='int4'"):
        quantize_(nn.Sequential(nn.Linear(64, 64)), "vq-2x64", activations="int4")


def test_both_forms_of_inference_agree():
    """Rotating activations equals rotating weights back (quantization: x W' D H = (H D x) W')."""
    from smalti.runtime.ops.dequantize import dequantize
    from smalti.runtime.ops.hadamard_transform.op import hadamard
    from smalti.runtime.rotation import signs

    torch.manual_seed(0)
    for width in (384, 100, 27):
        linear, x = nn.Linear(width, 64, bias=False), torch.randn(5, width)
        module = nn.Sequential(linear)
        quantize_(module, "vq-2x64", activations="float")
        layer = module[0]
        rotated = dequantize(layer.codes, layer.scales, layer.grid, 64, width) * layer.step
        back = hadamard(rotated, layer.header.block) * torch.from_numpy(signs(0, width))
        assert relative(module(x), x @ back.T) < 1e-5


def test_a_bare_layer_cannot_be_replaced_in_place():
    with pytest.raises(PlanError, match="wrap it"):
        quantize_(nn.Linear(64, 64), "vq-2x64")
