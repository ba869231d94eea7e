"""VQGather: rows of a packed table."""

from typing import Any

import torch
from torch import Tensor

from smalti.runtime.ops.dequantize import code_bits, look_up, planes, registers
from smalti.runtime.ops.hadamard_transform.op import hadamard
from smalti.runtime.ops.torch_op import torch_op
from smalti.runtime.rotation import signs


def _shape(a: dict[str, Any]) -> tuple[int, ...]:
    return (*a["indices"].shape, a["columns"])


@torch_op("VQGather", _shape)
def vq_gather(
    indices: Tensor,
    codes: Tensor,
    scales: Tensor,
    grid: Tensor,
    columns: int,
    step: float,
    block: int,
    seed: int,
) -> Tensor:
    """y = rows of the table, rotated back: y = D H w / sqrt(block).

    indices: (...) int64; codes, scales: packed table (rows, columns); grid: (n, p) int8, in units
    of `step`; y: (..., columns) float32.
    """
    tiles, groups, lanes = scales.shape
    table = planes(codes, tiles, lanes * 4).unflatten(-1, (lanes, 4)).transpose(1, 2)
    packed = table.reshape(tiles * lanes, -1, 4)[indices]
    row_scales = scales.transpose(1, 2).reshape(-1, groups)[indices]
    found = registers(packed, code_bits(grid)).flatten(-2, -1)
    rotated = look_up(found, row_scales, grid, columns) * step
    return hadamard(rotated, block) * torch.from_numpy(signs(seed, columns)).to(rotated)
