"""NF4: sixteen quantiles of the normal law, scaled by the greatest weight of a group.

Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", section 3.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import torch
from torch import Tensor

# The probability of the greatest level: the mean of those that leave out half of one share in 15
# and in 16. The paper's formula alone does not fix the ends; its printed levels follow from this.
OUTERMOST = 1 - (1 / 30 + 1 / 32) / 2


def bits_per_weight(group: int = 64) -> float:
    """Return the bits of a weight with its share of the fp16 scale."""
    return 4 + 16 / group


@cache
def levels() -> Tensor:
    """Return the levels, (16,) float64, rising from -1 to 1: seven below zero, eight above."""
    below, above = _quantiles(7), _quantiles(8)
    found = [-q for q in below] + [0.0] + above[::-1]
    return torch.tensor(found, dtype=torch.float64) / above[0]


def _quantiles(count: int) -> list[float]:
    """Return the quantiles of `count` probabilities from the outermost down to above one half."""
    step = (OUTERMOST - 0.5) / count
    return [NormalDist().inv_cdf(OUTERMOST - i * step) for i in range(count)]


def nf4(weight: Tensor, group: int = 64) -> Tensor:
    """Return `weight` (rows, columns) at the nearest levels of each group, float32."""
    parts = weight.detach().double().split(group, dim=1)
    return torch.cat([_nearest(part) for part in parts], dim=1).float()


def _nearest(part: Tensor) -> Tensor:
    scale = part.abs().amax(1, keepdim=True).half().double()
    scale = torch.where(scale > 0, scale, 1.0)
    borders = (levels()[1:] + levels()[:-1]) / 2
    return levels()[torch.bucketize(part / scale, borders)] * scale
