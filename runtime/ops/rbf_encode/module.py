"""A layer of radial basis functions, each with a place, a shape and features."""

import torch
from torch import Tensor, nn

from smalti.runtime.ops.rbf_encode.buckets import build_buckets
from smalti.runtime.ops.rbf_encode.op import KERNELS, MOST_NEIGHBOURS, rbf_encode


class RbfEncoding(nn.Module):
    """Encode points as features of their nearest radial basis functions (NeuRBF: Chen et al. 2023).

    centers: (K, d), d = 1..3, kept. shapes: (K, 1 | d | d * d) and features: (K, F) are learned.
    kernel: one of KERNELS. neighbours: of a point. cells: of the bucket table along each axis;
    about one center a cell if not given. The rest is as `rbf_encode` has it.

    In Torch every point meets all K centers: train on batches of points.
    """

    centers: Tensor
    cell_start: Tensor
    cell_ids: Tensor

    def __init__(
        self,
        centers: Tensor,
        shapes: Tensor,
        features: Tensor,
        *,
        kernel: str = "inverse_quadric",
        neighbours: int = 4,
        normalise: bool = True,
        cells: int | None = None,
    ) -> None:
        super().__init__()
        if kernel not in KERNELS:
            raise ValueError(f"kernel: {kernel!r}; pass one of {', '.join(KERNELS)}")
        if not 1 <= neighbours <= MOST_NEIGHBOURS:
            raise ValueError(f"neighbours: {neighbours}; pass 1 to {MOST_NEIGHBOURS}")
        count, axes = centers.shape
        if shapes.shape[0] != count or shapes.shape[1] not in (1, axes, axes * axes):
            raise ValueError(
                f"shapes: {tuple(shapes.shape)}; pass 1, d or d * d numbers for each of {count} "
                f"centers, d = {axes}"
            )
        self.kernel, self.neighbours, self.normalise = kernel, neighbours, normalise
        self.cells = max(1, round(count ** (1 / axes))) if cells is None else cells
        table = build_buckets(centers.double().numpy(force=True), neighbours, self.cells)
        self.register_buffer("centers", centers.detach().clone())
        self.shapes = nn.Parameter(shapes.detach().clone())
        self.features = nn.Parameter(features.detach().clone())
        self.register_buffer("cell_start", torch.from_numpy(table[0]))
        self.register_buffer("cell_ids", torch.from_numpy(table[1]))

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, d) -> (N, F)."""
        return rbf_encode.call(
            x,
            self.centers,
            self.shapes,
            self.features,
            self.cell_start,
            self.cell_ids,
            KERNELS.index(self.kernel),
            self.neighbours,
            self.normalise,
            self.cells,
        )
