"""One weight matrix: rotate, round, pack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2

import torch
from torch import Tensor

from smalti.quant.codebook import round_learned
from smalti.quant.grids import Grid, load_grid
from smalti.quant.lloyd import to_int8
from smalti.quant.rounding.choose import round_by_curvature
from smalti.quant.rounding.curvature import Curvature
from smalti.quant.rounding.nearest import round_nearest
from smalti.runtime.errors import SmaltiError
from smalti.runtime.format import Format
from smalti.runtime.ops.dequantize import dequantize
from smalti.runtime.ops.hadamard_transform.op import hadamard, hadamard_transform
from smalti.runtime.packing import Header, pack_codes, pack_scales
from smalti.runtime.rotation import block_for, signs

_FP16_TOP = 15  # the largest scale, as a power of two: leaves the smallest the most room
SEED = 0  # one seed for all layers: activations that several layers share are rotated once


class WeightError(SmaltiError, ValueError):
    """A weight that cannot be quantized."""


@dataclass(frozen=True)
class PackedWeight:
    """A packed matrix (rows, columns) and what it lost.

    codes: bytes with their header; scales: fp16 (tiles, groups, 16); grid: (n, p) int8 in units of
    `step`; error: ||W' - W||^2 / ||W||^2; learned: whether the grid is this matrix's own.
    """

    header: Header
    codes: Tensor
    scales: Tensor
    grid: Tensor
    step: float
    error: float
    learned: bool = False

    @property
    def format(self) -> Format:
        """How the codes came about."""
        return self.header.format

    @property
    def bytes(self) -> int:
        """Size in the file, with the grid if no other matrix shares it."""
        grid = self.grid.nbytes if self.learned else 0
        return self.codes.nbytes + self.scales.nbytes + grid


def check_weight(weight: Tensor) -> None:
    """Refuse weights that are empty or not finite."""
    if weight.numel() == 0:
        raise WeightError(f"the weight is empty, of shape {tuple(weight.shape)}")
    if not torch.isfinite(weight).all():
        count = int((~torch.isfinite(weight)).sum())
        raise WeightError(f"{count} weights are NaN or infinite; repair the checkpoint")


def _unit(values: Tensor, top: int) -> float:
    """A power of two; divided by it, the largest magnitude lies in (2^(top - 1), 2^top]."""
    largest = float(values.abs().max())
    return 2.0 ** (ceil(log2(largest)) - top) if largest > 0 else 1.0


def quantize_weight(
    weight: Tensor,
    form: Format,
    curvature: Curvature | None = None,
    seed: int = SEED,
    learned: bool = False,
) -> PackedWeight:
    """Quantize a matrix (rows, columns): to the nearest codes, or by feedback of errors.

    curvature: of the weight as it comes, not rotated. learned: fit a codebook to this matrix, in
    the place of the format's fixed grid.

    Raises:
        WeightError: the weight is empty or not finite.
    """
    weight = weight.detach().to(torch.float32)
    check_weight(weight)
    rows, columns = weight.shape
    block = block_for(columns)
    size = _unit(weight, 0)  # squares of very large or small weights would leave the range
    rotated = hadamard_transform.reference(weight / size, block, seed)
    grid = load_grid(form.grid_name)
    codes, lookup = round_nearest(rotated, grid, form.group or columns)
    turned = None if curvature is None else curvature.rotated(block, seed)
    if learned:
        codes, lookup = round_learned(rotated, lookup, turned)
        grid = to_int8(lookup.values.double().numpy())
    elif turned is not None:
        codes, lookup = round_by_curvature(rotated, lookup, turned, refit=True)
    header = Header(form, rows, columns, block, seed)
    return replace(_pack(rotated, codes, lookup.scales, grid, header, size), learned=learned)


def _pack(
    rotated: Tensor, codes: Tensor, scales: Tensor, grid: Grid, header: Header, size: float
) -> PackedWeight:
    unit = _unit(scales, _FP16_TOP)
    halves = (scales / unit).to(torch.float16)
    packed = torch.from_numpy(pack_codes(codes.to(torch.uint8).numpy(), header))
    stored = torch.from_numpy(pack_scales(halves.numpy(), header))
    entries, step = torch.from_numpy(grid.entries.copy()), grid.step * unit
    found = dequantize(packed, stored, entries, header.rows, header.columns) * step
    norm = float(rotated.square().sum())
    error = float((found - rotated).square().sum()) / norm if norm > 0 else 0.0
    return PackedWeight(header, packed, stored, entries, step * size, error)


def unpack_weight(packed: PackedWeight) -> Tensor:
    """Return the weights (rows, columns), rotated back."""
    h = packed.header
    found = dequantize(packed.codes, packed.scales, packed.grid, h.rows, h.columns)
    flips = torch.from_numpy(signs(h.seed, h.columns))
    return hadamard(found * packed.step, h.block) * flips  # (H D)^-1 = D H
