"""Inputs made up for a model that comes without data."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from smalti.quant.modes import evaluating

Batch = tuple[Tensor, ...]


def random_batches(
    module: nn.Module, example: Batch, count: int, size: int = 32, seed: int = 0
) -> Iterator[Batch]:
    """Give `count` batches of `size` samples, shaped like those of `example`.

    Numbers that an Embedding looks up are drawn from all its rows, other floating-point inputs
    from the normal law with the example's mean and deviation; what is left, masks for instance,
    is the example's.
    """
    rows = _looked_up(module, example)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield tuple(_draw(x, rows.get(i), size, generator) for i, x in enumerate(example))


def _draw(x: Tensor, rows: int | None, size: int, generator: torch.Generator) -> Tensor:
    repeated = x.repeat(-(-size // len(x)), *[1] * (x.dim() - 1))[:size]
    if rows is not None:
        return torch.randint(rows, repeated.shape, generator=generator, dtype=x.dtype)
    if not x.is_floating_point():
        return repeated
    return x.mean() + x.std() * torch.randn(repeated.shape, generator=generator, dtype=x.dtype)


def _looked_up(module: nn.Module, example: Batch) -> dict[int, int]:
    """Rows of the Embedding that each integer input goes to, by the input's position."""
    found: dict[int, int] = {}

    def note(layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        for i, x in enumerate(example):
            if args[0].shape == x.shape and torch.equal(args[0], x):
                found.setdefault(i, len(next(layer.parameters())))

    hooks = [
        layer.register_forward_pre_hook(note)
        for layer in module.modules()
        if isinstance(layer, nn.Embedding)
    ]
    with evaluating(module), torch.no_grad():
        try:
            module(*example)
        finally:
            for hook in hooks:
                hook.remove()
    return found
