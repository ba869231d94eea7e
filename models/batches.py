"""Training data in memory, in a new order each epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from smalti.quant.training import Batch


class Shuffled:
    """Batches of tensors whose first axes are the samples; an incomplete last one is left out.

    change: what is done to each batch, such as turning images at random.
    """

    def __init__(
        self, *samples: Tensor, batch: int, change: Callable[[Batch], Batch] | None = None
    ) -> None:
        self.samples, self.batch, self.change = samples, batch, change

    def __len__(self) -> int:
        return len(self.samples[0]) // self.batch

    def __iter__(self) -> Iterator[Batch]:
        order = torch.randperm(len(self.samples[0]))[: len(self) * self.batch]
        for chosen in order.split(self.batch):
            found = tuple(sample[chosen] for sample in self.samples)
            yield self.change(found) if self.change else found
