"""Complex numbers in reals: every function beside Torch's own, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from smalti.export.complex import in_reals
from smalti.export.complex_forms import Canvas
from smalti.export.complex_number import Complex
from smalti.export.functions import ConversionError


class Call(nn.Module):
    """Calls a function with two complex parameters, of (3, 4, 6) and (4, 6)."""

    def __init__(self, call):
        super().__init__()
        self.call = call
        self.w = nn.Parameter(torch.randn(3, 4, 6, dtype=torch.cfloat))
        self.register_buffer("v", torch.randn(4, 6, dtype=torch.cfloat))
        self.plain = torch.randn(6, dtype=torch.cfloat)

    def forward(self, x):
        y = self.call(self, x)
        return torch.view_as_real(y) if y.is_complex() else y


def close(call, x=None):
    torch.manual_seed(0)
    module = Call(call)
    x = torch.randn(3, 4, 6) if x is None else x
    wanted = module(x).detach().double()
    with in_reals(module, (x,)):
        found = module(x)
    assert not found.dtype.is_complex
    assert found.shape == wanted.shape
    assert (found - wanted).norm() <= 1e-6 * wanted.norm()


ARITHMETIC = {
    "add": lambda m, x: m.w + m.v + x + 2 + 1j,
    "radd": lambda m, x: x + m.w,
    "alpha": lambda m, x: torch.add(m.w, m.v, alpha=3),
    "sub": lambda m, x: (m.w - x) - (1 - m.v),
    "rsub": lambda m, x: x - m.w,
    "neg": lambda m, x: -m.w,
    "mul": lambda m, x: (m.w * m.v) * x * 0.5,
    "rmul": lambda m, x: x * m.w * (2 - 1j),
    "number": lambda m, x: 2j * x,
    "div": lambda m, x: m.w / m.v / (x + 9) / 3,
    "rdiv": lambda m, x: 1 / m.w,
    "in place": lambda m, x: _in_place(m, x),
    "square": lambda m, x: torch.square(m.w),
    "matmul": lambda m, x: m.w @ m.v.transpose(0, 1),
    "bmm": lambda m, x: torch.bmm(m.w, m.w.permute(0, 2, 1)),
    "linear": lambda m, x: functional.linear(m.w, m.v, m.v[:, 0]),
    "einsum": lambda m, x: torch.einsum("bix, ix -> bx", m.w, m.v),
    "einsum dots": lambda m, x: torch.einsum("...ix,ox->...io", m.w, m.v),
    "real": lambda m, x: m.w.real + torch.real(m.v),
    "imag": lambda m, x: m.w.imag * torch.imag(m.v),
    "abs": lambda m, x: m.w.abs() + torch.abs(m.v) + abs(m.v),
    "angle": lambda m, x: m.w.angle(),
    "exp": lambda m, x: torch.exp(1j * x),
    "conj": lambda m, x: m.w.conj() * torch.conj(m.v),
    "view_as_real": lambda m, x: torch.view_as_real(m.w) + m.v.real.unsqueeze(-1),
    "complex": lambda m, x: torch.complex(x, -x) * m.w,
    "view_as_complex": lambda m, x: torch.view_as_complex(x.reshape(3, 4, 3, 2)),
    "polar": lambda m, x: torch.polar(x.abs(), x),
    "to complex": lambda m, x: x.to(torch.complex64) * m.v + x.cfloat(),
    "sum": lambda m, x: m.w.sum((0, 2), keepdim=True) + m.w.sum(-1)[..., None] + m.v.sum(),
    "mean": lambda m, x: m.w.mean(dim=1) + torch.mean(m.v),
    "attribute": lambda m, x: x * m.plain,
}


def _in_place(m, x):
    y = m.w * 1
    y += x
    y -= 2
    y *= m.v
    y /= 3
    return y


SHAPES = {
    "index": lambda m, x: m.w[1, :, 2:5] + m.w[..., -3:][0] + m.w[-1][:, :3],
    "steps": lambda m, x: m.w[:, ::2, [0, 3]],
    "dots": lambda m, x: m.w[..., [1, 2]],
    "none": lambda m, x: m.v[None] * m.w,
    "permute": lambda m, x: m.w.permute(2, 0, 1) + torch.permute(m.w, (-1, 0, 1)),
    "transpose": lambda m, x: m.w.transpose(-1, 0) + m.w.swapaxes(0, 2),
    "movedim": lambda m, x: m.w.movedim(-1, 0) + torch.movedim(m.w, (2,), (0,)),
    "t": lambda m, x: m.v.t() + m.v.T + m.v.mT,
    "mT": lambda m, x: m.w.mT,
    "reshape": lambda m, x: m.w.reshape(4, -1) + m.w.contiguous().view([4, 18]),
    "expand": lambda m, x: m.v.expand(2, 4, 6),
    "repeat": lambda m, x: m.v.repeat(2, 1, 3),
    "unsqueeze": lambda m, x: m.v.unsqueeze(0).squeeze(0).unsqueeze(-1),
    "flatten": lambda m, x: (
        m.w.flatten(1).unflatten(1, (2, 12)) + m.w.flatten(-2).reshape(3, 2, 12)
    ),
    "flip": lambda m, x: m.w.flip(-1) + torch.flip(m.w, [0]),
    "roll": lambda m, x: m.w.roll(2, -1) + torch.roll(m.w, (1, 1), (0, 1)),
    "narrow": lambda m, x: m.w.narrow(-1, 1, 3) + m.w.select(1, 2)[:, None, 1:4],
    "size": lambda m, x: m.w.reshape(m.w.size(0), m.w.shape[1] * m.w.size(-1)) * m.w.dim(),
    "length": lambda m, x: m.w * len(m.w) * m.w.numel(),
    "cat": lambda m, x: torch.cat([m.w, m.v[None], m.w], 0),
    "cat zeros": lambda m, x: torch.cat([m.v, torch.zeros(4, 2, dtype=m.v.dtype), m.v], -1),
    "stack": lambda m, x: torch.stack([m.v, m.v.conj()], -1),
    "pad": lambda m, x: functional.pad(m.w, (1, 2, 0, 3)),
    "assign": lambda m, x: _assigned(m.w, m.v),
    "zeros": lambda m, x: _filled(m, x),
    "columns": lambda m, x: _columns(m.w, m.v),
    "clone": lambda m, x: m.w.clone().to(m.w.device).type(torch.complex64),
}


def _assigned(w, v):
    y = w.clone()
    y[:, 1] = v[2]
    y[0, 1:3, 2:4] = 5
    y[2] = 0
    y[..., -1] = v[None, :, 0]
    return y


def _filled(m, x):
    y = torch.zeros(3, 5, 6, dtype=torch.cfloat)
    y[:, :2, :3] = m.w[:, 1:3, :3]
    y[:, 3:] = m.w[:, :2]
    y[1:, :1] = 2 - 1j
    z = torch.zeros_like(y)
    z[0] = y[1]
    return z + y[:, :1] + x.new_zeros((3, 5, 6), dtype=torch.cfloat)


def _columns(w, v):
    y = torch.zeros([w.size(0), 4, w.size(2)], dtype=w.dtype).to(w.device)
    for i in range(w.size(2)):
        y[:, :, i] = functional.linear(w[:, :, i], v[:, :4])
    return y


@pytest.mark.parametrize("name", ARITHMETIC | SHAPES)
def test_functions_are_those_of_complex_numbers(name):
    close((ARITHMETIC | SHAPES)[name])


FFT = torch.fft
TRANSFORMS = {
    "rfft": lambda m, x: FFT.rfft(x),
    "some": lambda m, x: FFT.rfft(x)[..., 2:7] * FFT.rfft(x)[1:2, :, 3:8],
    "axis": lambda m, x: FFT.rfft(x, dim=1, norm="ortho")[:, :1],
    "cut": lambda m, x: FFT.rfft(x, 50, norm="forward"),
    "filled": lambda m, x: FFT.rfft(x, n=121)[..., :9],
    "irfft": lambda m, x: FFT.irfft(FFT.rfft(x)),
    "odd": lambda m, x: FFT.irfft(FFT.rfft(x), 81, norm="ortho"),
    "irfft axis": lambda m, x: FFT.irfft(m.w, 13, 1, "forward"),
    "irfft of all": lambda m, x: FFT.irfft(m.w, 5),
    "irfft of reals": lambda m, x: FFT.irfft(x, 40),
    "nyquist": lambda m, x: FFT.irfft(m.w, 10),
    "low pass": lambda m, x: FFT.irfft(_low(FFT.rfft(x), 9)),
    "nothing": lambda m, x: FFT.irfft(_low(FFT.rfft(x), 0)) + x,
    "high pass": lambda m, x: FFT.irfft(_band(FFT.rfft(x))),
    "convolution": lambda m, x: FFT.irfft(FFT.rfft(x, 200) * FFT.rfft(x, 200).conj(), 200),
    "rfft2": lambda m, x: FFT.rfft2(x),
    "rfft2 sizes": lambda m, x: FFT.rfft2(x, (5, 11), norm="ortho")[:, -2:, :4],
    "rfft2 axes": lambda m, x: FFT.rfft2(x, dim=(2, 0)),
    "rfftn": lambda m, x: FFT.rfftn(x)[1:, :3, :5],
    "irfft2": lambda m, x: FFT.irfft2(FFT.rfft2(x)),
    "irfft2 sizes": lambda m, x: FFT.irfft2(m.w, (7, 9), norm="forward"),
    "irfftn": lambda m, x: FFT.irfftn(m.w, norm="ortho"),
    "fft": lambda m, x: FFT.fft(m.w) + FFT.fft(x[..., :6], norm="ortho"),
    "ifft": lambda m, x: FFT.ifft(m.w, 9, 1)[:, 2:5],
    "long fft": lambda m, x: FFT.fft(x, norm="ortho") + FFT.fft(FFT.fft(x)),
    "odd fft": lambda m, x: FFT.fft(x, 121)[..., 40:90],
    "long ifft": lambda m, x: (
        FFT.ifft(FFT.fft(x)[..., :70], 90) + FFT.ifft(FFT.fft(x, 121))[..., :90]
    ),
    "fft2": lambda m, x: FFT.fft2(m.w) + FFT.fft2(x[..., :6]),
    "fftn": lambda m, x: FFT.fftn(m.w),
}


def _low(bins, count):
    bins[..., count:] = 0
    return bins


def _band(bins):
    out = torch.zeros_like(bins)
    out[..., 5:8] = bins[..., 5:8]
    out[..., 30:] = bins[..., 30:]
    return out


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_are_those_of_torch(name):
    close(TRANSFORMS[name], torch.randn(3, 4, 90))


def test_few_of_many_bins_are_all_that_is_computed():
    module = Call(lambda m, x: FFT.irfft(_low(FFT.rfft(x), 4), 1000))
    x = torch.randn(2, 1000)
    with in_reals(module, (x,)):
        bins = FFT.rfft(x)
        assert isinstance(bins, Complex)
        bins[..., 4:] = 0
        assert isinstance(bins.form, Canvas)
        assert bins.form.support(1) == [(0, 4)]
        assert bins.form.packed(1).shape == [2, 4]


def test_parameters_come_back_and_layers_keep_their_class():
    module = nn.Sequential(nn.Linear(3, 2).to(torch.cfloat), Call(lambda m, x: x))
    weight, kinds = module[0].weight, [type(layer) for layer in module]
    with in_reals(module, ()):
        assert {p.dtype for p in module.parameters()} == {torch.float32}
        assert module[0].weight.shape == (2, 3)
        assert type(module[0]).__qualname__ == "Linear"
    with pytest.raises(ZeroDivisionError), in_reals(module, ()):
        len(module) / 0
    assert module[0].weight is weight
    assert [type(layer) for layer in module] == kinds
    assert module[1].v.is_complex()
    assert module[1].plain.is_complex()


REFUSED = {
    "function": (lambda m, x: torch.linalg.inv(m.w[:, :3, :3]), "first: .*inv of complex numbers"),
    "maker": (lambda m, x: torch.fft.hfft(torch.randn(3, dtype=torch.cfloat)), "randn of complex"),
    "constant": (lambda m, x: torch.tensor([1j]) * x, "join them by torch.complex"),
    "dtype": (lambda m, x: m.w.to(torch.float32), "take .real"),
    "pad": (lambda m, x: functional.pad(m.w, (1, 1), "replicate"), "fill up with zeros"),
    "einsum": (lambda m, x: torch.einsum("ij,ij,ij->i", m.v, m.v, m.v), "two at a time"),
    "assignment": (lambda m, x: _scattered(m.w.clone()), "slices with step 1"),
    "rfft": (lambda m, x: torch.fft.rfft(m.w), "use torch.fft.fft"),
    "double": (lambda m, x: torch.fft.rfft(x.double()), r"take .float\(\)"),
    "argument": (lambda m, x: torch.sub(m.w, m.v, alpha=2), "sub of .*'alpha'; call it otherwise"),
    "property": (lambda m, x: m.v.H, "H of complex numbers has no form"),
    "power": (lambda m, x: m.v**0.5, "pow__ of complex numbers has no form"),
}


def _scattered(y):
    y[:, [0, 2]] = 0
    return y


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_names_the_layer_the_function_and_the_mend(name):
    call, message = REFUSED[name]
    module = nn.Sequential()
    module.add_module("first", Call(call))
    with pytest.raises(ConversionError, match="^first: ") as caught, in_reals(module, ()):
        module(torch.randn(3, 4, 6))
    assert caught.match(message)


def test_inputs_and_outputs_are_real():
    module = nn.Identity()
    with (
        pytest.raises(ConversionError, match="take pairs"),
        in_reals(module, (np.e, torch.tensor(1j))),
    ):
        pass
    module = nn.Sequential()
    module.forward = torch.fft.rfft
    with pytest.raises(ConversionError, match="return torch.view_as_real"), in_reals(module, ()):
        module(torch.randn(1, 2))
