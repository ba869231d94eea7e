"""A small branch of low rank beside a quantized layer, which makes up for part of its error.

y = Q(W) x + B (A x). The best branch of a rank is the truncated singular value decomposition of
the error in the norm of the loss (Eckart and Young 1936). LQER (Zhang et al. 2024) weighs by the
inputs' sizes alone; here the whole Hessian does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smalti.quant.block import BlockWeight
from smalti.quant.rounding.curvature import Curvature, damped
from smalti.quant.weight import PackedWeight
from smalti.runtime.format import BranchFormat

_FOLDED = 8192  # numbers; Torch's exporter stores constants up to this size after the cast


def low_rank_factors(
    error: Tensor, curvature: Curvature | None, rank: int
) -> tuple[Tensor, Tensor]:
    """Return a (rank, n) and b (m, rank), float32, of the b a nearest to an error (m, n).

    curvature: minimise tr((E - b a) H_I (E - b a)^T H_O) with both sides damped, as they are for
    rounding; None for the identity. Row j of a and column j of b are of one norm, so that both fit
    into fp16. The bias makes up for (E - b a) centre.

    Raises:
        ValueError: a rank below 1, or above the smaller side.
    """
    _check(rank, *error.shape)
    # In the norm of the loss, M = L_O^T E L_I, with H_I = L_I L_I^T and H_O = L_O L_O^T.
    scaled = error.detach().to(torch.float64)
    of_inputs = of_outputs = None
    if curvature is not None:
        of_inputs = _root(curvature.inputs)
        scaled = scaled @ of_inputs
        if curvature.outputs is not None:
            of_outputs = _root(curvature.outputs)
            scaled = of_outputs.T @ scaled
    left, sizes, right = torch.linalg.svd(scaled, full_matrices=False)
    b, a = left[:, :rank] * sizes[:rank], right[:rank]
    if of_inputs is not None:
        a = torch.linalg.solve_triangular(of_inputs, a, upper=False, left=False)
    if of_outputs is not None:
        b = torch.linalg.solve_triangular(of_outputs.T, b, upper=True)
    return _balanced(a, b)


def _check(rank: int, rows: int, columns: int) -> None:
    if not 1 <= rank <= min(rows, columns):
        raise ValueError(
            f"rank={rank} for a weight of {rows} x {columns}; use 1 to {min(rows, columns)}"
        )


def _root(hessian: Tensor) -> Tensor:
    """Lower triangle L of H = L L^T, damped."""
    root: Tensor = torch.linalg.cholesky(damped(hessian.to(torch.float64)))
    return root


def _balanced(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Give both vectors of a component the same norm."""
    ratio = (b.norm(dim=0) / a.norm(dim=1)).sqrt()
    scale = torch.where(ratio > 0, ratio, 1.0)
    return (a * scale[:, None]).to(torch.float32), (b / scale).to(torch.float32)


def low_rank_bytes(rows: int, columns: int, rank: int) -> int:
    """Bytes that a branch adds to the file, for `Choice.bytes`: small ones end up in float32.

    Raises:
        ValueError: a rank below 1, or above the smaller side.
    """
    _check(rank, rows, columns)
    numbers = rank * (rows + columns)
    return (2 if numbers > _FOLDED else 4) * numbers


@dataclass(frozen=True)
class BranchWeight:
    """A packed matrix (m, n) and its branch a (rank, n), b (m, rank), as fp16 stores them.

    error: ||W' - W||^2 / ||W||^2 with the branch.
    """

    base: PackedWeight | BlockWeight
    a: Tensor
    b: Tensor
    error: float

    @property
    def format(self) -> BranchFormat:
        """The base's format and the rank."""
        return BranchFormat(self.base.format, len(self.a))

    @property
    def bytes(self) -> int:
        """Size in the file."""
        return self.base.bytes + low_rank_bytes(len(self.b), self.a.shape[1], len(self.a))


def with_branch(
    base: PackedWeight | BlockWeight,
    weight: Tensor,
    found: Tensor,
    curvature: Curvature | None,
    rank: int,
) -> BranchWeight:
    """Add a branch to a packed weight (m, n), which decodes to `found`."""
    a, b = low_rank_factors(weight - found, curvature, rank)
    a, b = (x.to(torch.float16).to(torch.float32) for x in (a, b))
    norm = float(weight.square().sum())
    left = float((weight - found - b @ a).square().sum())
    return BranchWeight(base, a, b, left / norm if norm > 0 else 0.0)


class LowRankLinear(nn.Module):
    """A quantized Linear and its branch, stored in fp16 and applied in float32.

    factors: (rank, columns + rows) fp16, a and b^T side by side: the exporter leaves large tensors
    in fp16.
    """

    factors: Tensor

    def __init__(self, quantized: nn.Module, a: Tensor, b: Tensor) -> None:
        """a: (rank, columns); b: (rows, rank), as `low_rank_factors` returns them."""
        super().__init__()
        self.quantized, self.columns = quantized, a.shape[1]
        self.register_buffer("factors", torch.cat([a, b.T], dim=1).to(torch.float16))

    def extra_repr(self) -> str:
        """Show the rank where a module is printed."""
        return f"rank {len(self.factors)}"

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., columns) -> (..., rows)."""
        factors = self.factors.to(torch.float32)
        a, b = factors[:, : self.columns], factors[:, self.columns :]
        found: Tensor = self.quantized(x)
        return found + x.to(torch.float32) @ a.T @ b
