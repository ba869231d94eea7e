"""Training data in batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from smalti.quant.training import Batch


class Shuffled:
    """Batches of rows of tensors of equal length, in a new order each epoch; a rest is left out."""

    def __init__(self, *tensors: Tensor, batch: int) -> None:
        self.tensors, self.batch = tensors, batch

    def __len__(self) -> int:
        return len(self.tensors[0]) // self.batch

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.tensors[0]))[: len(self) * self.batch]
        return (tuple(t[chosen] for t in self.tensors) for chosen in order.split(self.batch))
