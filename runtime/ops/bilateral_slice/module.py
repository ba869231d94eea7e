"""A learned bilateral grid: edits of a photo, or the difference between two cameras."""

import torch
from torch import Tensor, nn

from smalti.runtime.ops.bilateral_slice.op import bilateral_slice

_IDENTITY = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)  # rows of [A | b]
_STEPS = 127


class BilateralGrid(nn.Module):
    """Change colours by an affine map that depends on place and brightness (Gharbi et al. 2017).

    cells: of the grid along z (brightness), y and x. align_corners: as `bilateral_slice` has it.
    Starts as the identity.
    """

    scales: Tensor

    def __init__(
        self, cells: tuple[int, int, int] = (8, 16, 16), *, align_corners: bool = True
    ) -> None:
        super().__init__()
        if len(cells) != 3 or min(cells) < 1:
            raise ValueError(f"cells: {cells}; pass three sizes from 1: along z, y and x")
        identity = torch.tensor(_IDENTITY, dtype=torch.float32).reshape(1, 12, 1, 1, 1)
        self.grid = nn.Parameter(identity.repeat(1, 1, *cells))
        self.register_buffer("scales", torch.tensor([[1.0] * 12, [0.0] * 12]))
        self.align_corners = align_corners

    def forward(self, image: Tensor, guide: Tensor | None = None) -> Tensor:
        """image: (B, 3, h, w); guide: (B, h, w) in 0..1, else the image's luma. Keeps the shape."""
        return bilateral_slice.call(self.grid, image, self.scales, guide, self.align_corners)

    @torch.no_grad()
    def quantize_(self) -> None:
        """Store the grid as int8, for inference; each coefficient has a scale and an offset."""
        low, high = self.grid.amin((0, 2, 3, 4)), self.grid.amax((0, 2, 3, 4))
        step, middle = (high - low) / (2 * _STEPS), (high + low) / 2
        step = step.where(step > 0, torch.ones_like(step))
        units = (self.grid - middle[:, None, None, None]) / step[:, None, None, None]
        codes = units.round().clamp(-_STEPS, _STEPS).to(torch.int8)
        del self.grid
        self.register_buffer("grid", codes)
        self.scales = torch.stack([step, middle])


def total_variation(grid: Tensor) -> Tensor:
    """Return the mean squared steps of a grid (B, 12, Lz, H, W), summed over its three axes.

    As a penalty it keeps cells that few pixels visit near their neighbours (Wang et al. 2024).
    """
    steps = (grid.diff(dim=axis) for axis in (2, 3, 4) if grid.shape[axis] > 1)
    return sum((step.square().mean() for step in steps), grid.new_zeros(()))
