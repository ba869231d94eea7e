"""What the tests of folds share."""

import copy

import torch

from smalti.export import export_onnx, fold_


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
