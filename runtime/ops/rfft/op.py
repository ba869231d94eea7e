"""RFFT: the non-negative half of real signals' spectra, or its first bins."""

from typing import Any

import torch
from torch import Tensor

from smalti.runtime.ops.torch_op import torch_op


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (*a["x"].shape[:-1], a["modes"], 2)


@torch_op("RFFT", _shape)
def rfft(x: Tensor, modes: int) -> Tensor:
    """y[k] = sum over j in [0, n) of x[j] exp(-2 pi i j k / n), k in [0, modes).

    x: (..., n), of any length n up to 2^30. y: (..., modes, 2), real and imaginary parts; modes is
    at most n // 2 + 1. Computed in double, so that every value is off by at most a rounding to
    float32 (6e-8 of it) and 1e-15 of the largest one.
    """
    bins = torch.view_as_real(torch.fft.rfft(x.double()))
    return bins[..., :modes, :].to(x.dtype)
