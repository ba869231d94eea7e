"""Quantization-aware training: weights that are rounded in forward and learn as if they were not.

The straight-through estimator (Bengio, Leonard, Courville 2013): the latent float weight takes the
gradient of the rounded one that forward saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

from smalti.quant.matrix import quantize_matrix, unpacked
from smalti.quant.modes import Removable
from smalti.quant.plan import Plan
from smalti.quant.targets import kind_of, layers_with_weights, why_not
from smalti.quant.weight import WeightError
from smalti.runtime.format import AnyFormat

Batch = tuple[Tensor, ...]
Loss = Callable[[nn.Module, Batch], Tensor]


class Batches(Protocol):
    """One epoch of data; iterated once an epoch, as a `DataLoader` is."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Batch]: ...


def rounded(weight: Tensor, form: AnyFormat) -> Tensor:
    """Return what a format keeps of a weight (rows, ...), rounded to the nearest, in its shape.

    Raises:
        WeightError: the weight is not finite.
    """
    found = unpacked(quantize_matrix(weight.flatten(1), form).weight)
    return found.reshape(weight.shape).to(weight)


class _StraightThrough(nn.Module):
    """Rounds a weight anew whenever it has changed; its gradient passes as it is."""

    def __init__(self, name: str, form: AnyFormat) -> None:
        super().__init__()
        self.name, self.form = name, form
        self.latent = self.found = torch.empty(0)  # the weight last seen, and what came of it

    def forward(self, weight: Tensor) -> Tensor:
        # A layer in two places, and all of an evaluation, see the same weight many times.
        if not torch.equal(weight, self.latent):
            self.latent = weight.detach().clone()
            self.found = self._round(self.latent)
        return self.found + (weight - weight.detach())  # adds exactly 0

    def _round(self, weight: Tensor) -> Tensor:
        try:
            return rounded(weight, self.form)
        except WeightError as error:
            raise WeightError(f"layer {self.name}: {error}; lower the learning rate") from None


class FakeQuantization(Removable):
    """The rounding that `fake_quantize_` put on; `remove` or the end of `with` takes it off."""

    def __init__(self, layers: list[nn.Module]) -> None:
        self._layers = layers

    def remove(self) -> None:
        """Leave the latent float weights; `quantize_` with the same plan finds the same codes."""
        for layer in self._layers:
            remove_parametrizations(layer, "weight", leave_parametrized=False)
        self._layers = []


def fake_quantize_(module: nn.Module, plan: Plan | str | Mapping[str, str]) -> FakeQuantization:
    """Round in every forward the weights that `quantize_` would quantize, until removed.

    plan: as for `quantize_`. Weights that were tied stay tied. The module trains as before: its
    parameters are the latent float weights, and their names in `state_dict` change meanwhile.

    Raises:
        FormatError, PlanError: the plan does not read, or does not fit.
        WeightError: in forward, where training has diverged.
    """
    chosen, layers = Plan.of(plan), dict(layers_with_weights(module))
    chosen.check([name for name in layers if kind_of(layers[name])])
    found = {name: _format(name, layer, chosen) for name, layer in layers.items()}
    forms = {name: form for name, form in found.items() if form}
    for name, form in forms.items():
        rounding = _StraightThrough(name, form)
        register_parametrization(layers[name], "weight", rounding, unsafe=True)
    return FakeQuantization([layers[name] for name in forms])


def _format(name: str, layer: nn.Module, plan: Plan) -> AnyFormat | None:
    """Return the format of a layer, None where it stays in float."""
    form = plan.format_of(name)
    return None if form is None or why_not(layer, form) else form


def fine_tune(
    module: nn.Module, batches: Batches, loss: Loss, epochs: int, learning_rate: float
) -> list[float]:
    """Train in place with AdamW, one cycle of cosines up to `learning_rate` and down to nothing.

    loss(module, batch) -> scalar. Leaves the module in evaluation mode. The cycle: Smith and
    Topin 2018, "Super-Convergence".

    Returns:
        The mean loss of each epoch.
    """
    optimizer = torch.optim.AdamW(module.parameters(), learning_rate)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=epochs * len(batches)
    )
    module.train()
    means = []
    for _ in range(epochs):
        values = [_step(module, batch, loss, optimizer, cycle) for batch in batches]
        means.append(sum(values) / len(values))
    module.eval()
    return means


def _step(
    module: nn.Module,
    batch: Batch,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    cycle: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    optimizer.zero_grad()
    value = loss(module, batch)
    value.backward()
    optimizer.step()
    cycle.step()
    return float(value.detach())
