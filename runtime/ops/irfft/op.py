"""IRFFT: real signals from the non-negative half of their spectra."""

from typing import Any

import torch
from torch import Tensor

from smalti.runtime.ops.torch_op import torch_op


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (*a["x"].shape[:-2], a["n"])


@torch_op("IRFFT", _shape)
def irfft(x: Tensor, n: int) -> Tensor:
    """y[j] = sum over k in [0, n) of X[k] exp(2 pi i j k / n) / n: ONNX DFT, inverse and onesided.

    x: (..., n // 2 + 1, 2), real and imaginary parts of X[0] to X[n // 2]; the others are their
    conjugates. The imaginary parts of X[0] and, for even n, of X[n / 2] are ignored. y: (..., n).

    Computed in double: each value is off by a rounding to float32 (6e-8 of it), and by 1e-15 of
    the largest one.
    """
    y: Tensor = torch.fft.irfft(torch.view_as_complex(x.double()), n)
    return y.to(x.dtype)
