"""A trainable grid encoding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smalti.runtime.ops.grid_encode.op import INTERPOLATIONS, WARPS, grid_encode, level_table

_FIRST = 1e-4  # features start within this, as Mueller et al. have it


def resolutions(base: int, growth: float, count: int) -> list[int]:
    """Return floor(base growth^l) for l in [0, count): vertices along the axes of growing grids."""
    return [int(base * growth**level) for level in range(count)]


class GridEncoding(nn.Module):
    """Features of points in [0, 1]^d, interpolated in grids of several resolutions.

    dims: d, 1 to 4. levels: of each grid its vertices along every axis, one number where all are
    alike (see `resolutions`). Grids of more than 2^log2_rows vertices are hashed (Mueller et al.
    2022, "Instant neural graphics primitives with a multiresolution hash encoding"). interpolation,
    warp and align_corners: as in GridEncode. `simplex` needs d + 1 vertices instead of 2^d.

    `table` is a Parameter; `quantize_table_` makes a buffer of it, in int8 or codes.

    Raises:
        ValueError: a level does not fit `dims`, or an unknown interpolation or warp.
    """

    table: Tensor
    levels: Tensor
    scales: Tensor | None
    codebook: Tensor | None

    def __init__(
        self,
        dims: int,
        levels: Sequence[int | Sequence[int]],
        features: int = 2,
        log2_rows: int = 16,
        interpolation: str = "linear",
        warp: str = "none",
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        sizes = [[size] * dims if isinstance(size, int) else list(size) for size in levels]
        for size in sizes:
            if len(size) != dims or min(size) < 2:
                raise ValueError(f"levels: {size}; give {dims} numbers of vertices, 2 or more")
        if interpolation not in INTERPOLATIONS or warp not in WARPS:
            known = f"{', '.join(INTERPOLATIONS)}, and {', '.join(WARPS)}"
            raise ValueError(f"interpolation={interpolation!r}, warp={warp!r}; there are {known}")
        self.dims, self.features, self.align_corners = dims, features, align_corners
        self.interpolation, self.warp = INTERPOLATIONS.index(interpolation), WARPS.index(warp)
        self.register_buffer("levels", level_table(sizes, log2_rows))
        rows = int(self.levels[-1, -2:].sum())
        self.table = nn.Parameter(torch.empty(rows, features).uniform_(-_FIRST, _FIRST))
        self.register_buffer("scales", None)
        self.register_buffer("codebook", None)

    def forward(self, x: Tensor, warp: str | None = None) -> Tensor:
        """x: (..., d) -> (..., levels * features). warp: of these points, else the module's own."""
        y = grid_encode.call(
            x.reshape(-1, self.dims),
            self.table,
            self.levels,
            self.scales,
            self.codebook,
            self.features,
            self.interpolation,
            self.warp if warp is None else WARPS.index(warp),
            self.align_corners,
        )
        return y.reshape(*x.shape[:-1], y.shape[-1])

    def extra_repr(self) -> str:
        """Show sizes where a module is printed."""
        sizes = self.levels[:, :-2].tolist()
        return f"{self.dims}, levels={sizes}, features={self.features}, {self.table.dtype}"
