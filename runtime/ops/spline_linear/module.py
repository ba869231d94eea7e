"""The layer as a module: a Kolmogorov-Arnold network is a few of them in a row."""

import torch
from torch import Tensor, nn

from smalti.runtime.ops.spline_linear.op import spline_linear


class SplineLinear(nn.Module):
    """A spline and a scaled SiLU on every edge: KAN (Liu et al. 2024), section 2.2.

    (..., inputs) -> (..., outputs). Trains by autograd. Keep inputs within [low, high], by
    normalising them or by a wide enough range: beyond it only the SiLU is left. There is no bias,
    as the splines of an edge can be any constant in there.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        intervals: int = 8,
        degree: int = 3,
        low: float = -1.0,
        high: float = 1.0,
    ) -> None:
        """Start with Xavier's SiLU and splines of a tenth of its size, as the paper does.

        Raises:
            ValueError: no interval, a degree other than 0 to 3, or high not above low.
        """
        super().__init__()
        if intervals < 1 or not 0 <= degree <= 3 or not low < high:
            raise ValueError(
                f"intervals {intervals}, degree {degree}, range {low} to {high}; pass at least 1 "
                "interval, a degree of 0 to 3 and low below high"
            )
        self.degree, self.low, self.high = degree, float(low), float(high)
        self.coefficients = nn.Parameter(torch.empty(inputs, intervals + degree, outputs))
        self.base = nn.Parameter(torch.empty(inputs, outputs))
        nn.init.xavier_normal_(self.base)
        nn.init.normal_(self.coefficients, std=0.1 * (2 / (inputs + outputs)) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., inputs) -> (..., outputs)."""
        y: Tensor = spline_linear.call(
            x, self.coefficients, self.base, self.degree, self.low, self.high
        )
        return y
