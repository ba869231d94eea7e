"""A small vision transformer (Dosovitskiy et al. 2020, arXiv 2010.11929), for features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, scaled_dot_product_attention


class Block(nn.Module):
    """Attention and a perceptron, each added to what it is given (N, tokens, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, tokens, width)."""
        found = self.queries(self.norm1(x)).unflatten(2, (3, self.heads, -1))
        query, key, value = found.permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(query, key, value)
        x = x + self.mixed(seen.transpose(1, 2).flatten(2))
        result: Tensor = x + self.narrow(gelu(self.widen(self.norm2(x))))
        return result


class Encoder(nn.Module):
    """Images (N, 1, h, w) -> features (N, width, h / patch, w / patch).

    places: rows and columns of the positions that are learned; images of another size see them
    interpolated.
    """

    def __init__(self, width: int, heads: int, blocks: int, patch: int, places: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.places = nn.Parameter(0.02 * torch.randn(1, width, places, places))
        parts = (Block(width, heads) for _ in range(blocks))
        self.blocks = nn.Sequential(*parts, nn.LayerNorm(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 1, h, w), of any sides that the patch divides."""
        y = self.patches(x)
        y = y + interpolate(self.places, y.shape[2:], mode="bilinear")
        tokens: Tensor = self.blocks(y.flatten(2).transpose(1, 2))
        result: Tensor = tokens.transpose(1, 2).unflatten(2, y.shape[2:])
        return result
