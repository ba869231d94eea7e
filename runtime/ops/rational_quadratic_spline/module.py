"""A layer of a neural spline flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smalti.runtime.ops.rational_quadratic_spline.op import rational_quadratic_spline

_LEAST = 1e-2  # of widths, heights and slopes: float32 then still finds the way back


class SplineCoupling(nn.Module):
    """Some values stay and say which curves the others go through: an invertible layer.

    Durkan et al. (2019), "Neural spline flows", section 3; coupling is Dinh et al.'s (2017). The
    first features - features // 2 values stay. They come last in the result, so that layers in a
    row move all values in turn.

    conditioner: any module of (..., stay) -> (..., (features // 2) * (3 bins - 1)): for each value
    that moves `bins` widths, `bins` heights and bins - 1 slopes, before softmax and softplus.
    bound: beyond [-bound, bound] values stay what they are.

    Raises:
        ValueError: less than 2 features, bins other than 2 to 64, or a bound not above 0.
    """

    def __init__(
        self, features: int, conditioner: nn.Module, *, bins: int = 8, bound: float = 3.0
    ) -> None:
        super().__init__()
        if features < 2 or not 2 <= bins <= 64 or not bound > 0:
            raise ValueError(
                f"features {features}, bins {bins}, bound {bound}; pass at least 2 features, 2 to "
                "64 bins and a bound above 0"
            )
        self.conditioner = conditioner
        self.moving, self.bins, self.bound = features // 2, bins, float(bound)
        self.staying = features - self.moving

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (..., features) -> y (..., features) and log |det dy/dx| (...)."""
        stay, move = x[..., : self.staying], x[..., self.staying :]
        moved, log_slopes = self._curves(move, stay, inverse=False)
        return torch.cat([moved, stay], -1), log_slopes.sum(-1)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """y: (..., features) -> x (..., features) and log |det dx/dy| (...)."""
        moved, stay = y[..., : self.moving], y[..., self.moving :]
        move, log_slopes = self._curves(moved, stay, inverse=True)
        return torch.cat([stay, move], -1), log_slopes.sum(-1)

    def _curves(self, values: Tensor, stay: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        k = self.bins
        raw = self.conditioner(stay).reshape(*values.shape, 3 * k - 1)
        sizes, slopes = (raw[..., :k], raw[..., k : 2 * k]), raw[..., 2 * k :]
        least = (_LEAST, _LEAST, _LEAST)
        found = rational_quadratic_spline.call(values, *sizes, slopes, inverse, self.bound, *least)
        return found[0], found[1]
