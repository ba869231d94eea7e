"""HadamardTransform: the rotation of activations."""

from typing import Any

import torch
from torch import Tensor

from smalti.runtime.ops.torch_op import torch_op
from smalti.runtime.rotation import hadamard_factors, signs


def hadamard(x: Tensor, block: int) -> Tensor:
    """H x / sqrt(block) for every block along the last axis. Its own inverse."""
    left, right = (torch.from_numpy(f).to(x) for f in hadamard_factors(block))
    blocks = x.unflatten(-1, (x.shape[-1] // block, len(left), len(right)))
    rotated: Tensor = (left @ blocks @ right).flatten(-3, -1)
    norm: float = block**-0.5
    return rotated.mul(norm)


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return tuple(a["x"].shape)


@torch_op("HadamardTransform", _shape)
def hadamard_transform(x: Tensor, block: int, seed: int) -> Tensor:
    """y = H D x / sqrt(block): random signs, then a Hadamard transform of every block.

    x, y: (..., columns), float32. Randomized as in QuIP (Chee et al. 2023); HIGGS (Malinovskii
    et al. 2024), section 4.
    """
    return hadamard(x * torch.from_numpy(signs(seed, x.shape[-1])).to(x), block)
