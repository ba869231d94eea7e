"""A neural spline flow (Durkan et al. 2019, arXiv 1906.04032), and its way back."""

from __future__ import annotations

from math import log, pi
from typing import Any

from torch import Tensor, nn

from smalti.runtime.ops.rational_quadratic_spline.module import SplineCoupling


class Flow(nn.Module):
    """Points (N, features) -> where they are in the normal distribution, and log density (N,)."""

    def __init__(self, features: int, layers: int, hidden: int, bins: int) -> None:
        super().__init__()
        self.features = features
        self.layers = nn.ModuleList(
            SplineCoupling(features, _conditioner(features, hidden, bins), bins=bins)
            for _ in range(layers)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (N, features)."""
        z, log_slopes = x, []
        for layer in self.layers:
            z, log_slope = layer(z)
            log_slopes.append(log_slope)
        return z, sum(log_slopes) - 0.5 * (z * z).sum(-1) - 0.5 * self.features * log(2 * pi)


def _conditioner(features: int, hidden: int, bins: int) -> nn.Module:
    moving = features // 2
    return nn.Sequential(
        nn.Linear(features - moving, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, moving * (3 * bins - 1)),
    )


class Sampler(nn.Module):
    """Normal numbers (N, features) -> points (N, features): the way back through a flow."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, z: Tensor) -> Tensor:
        """z: (N, features)."""
        layers: list[Any] = list(self.flow.layers)
        for layer in reversed(layers):
            z = layer.inverse(z)[0]
        return z


def unlikelihood(flow: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Return the mean negative log density of points, which training minimises."""
    loss: Tensor = -flow(batch[0])[1].mean()
    return loss
