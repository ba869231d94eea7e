"""HQQ, by its own package: `DISABLE_CUDA=1 pip install --no-deps hqq==0.2.8.post1 termcolor`.

Without `--no-deps` pip fetches accelerate and may replace Torch; without DISABLE_CUDA the setup
script tries to compile kernels for CUDA. The quantizer itself needs neither. Its import takes
seconds: it brings Torch's compiler.
"""

from __future__ import annotations

from importlib import import_module

from torch import Tensor


def bits_per_weight(bits: int, group: int) -> float:
    """Return the bits of a weight with its share of scale and zero point, both fp16."""
    return bits + 32 / group


def hqq(weight: Tensor, bits: int, group: int) -> Tensor:
    """Return `weight` (rows, columns) as HQQ gives it back, float32; groups lie along rows.

    Raises:
        ModuleNotFoundError: the package hqq, or termcolor, is missing.
    """
    package = import_module("hqq.core.quantize")
    settings = package.BaseQuantizeConfig(nbits=bits, group_size=group)["weight_quant_params"]
    codes, meta = package.Quantizer.quantize(
        weight.detach().float(), **settings, device="cpu", bitpack=False
    )
    # The package itself keeps both in fp16 when it stores a layer.
    scale, zero = (meta[name].half().float() for name in ("scale", "zero"))
    values: Tensor = (codes.float().reshape(-1, group) - zero) * scale
    return values.reshape(weight.shape)
