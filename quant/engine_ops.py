"""Torch references of operators that engines have, or can put together, for block formats.

`export/translate.py` turns them into `com.microsoft` or standard nodes; our library has no part.
E2M1, E4M3, E8M0: OCP Microscaling Formats 1.0, section 5. NF4: Dettmers et al. 2023, appendix E.
"""

# No `from __future__ import annotations`: Torch and the exporter read the annotations.

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from smalti.runtime.ops.torch_op import OPS, TorchOp, torch_op

ENGINE_OPS: dict[str, TorchOp] = {}
_NAN = float("nan")
NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_E2M1_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
E2M1 = (*_E2M1_MAGNITUDES, *(-v for v in _E2M1_MAGNITUDES))
E8M0 = (*(2.0 ** (byte - 127) for byte in range(255)), _NAN)
_E4M3_MAGNITUDES = (
    *(m * 2.0**-9 for m in range(8)),
    *((8 + m) * 2.0 ** (e - 10) for e in range(1, 16) for m in range(8)),
)
E4M3 = (*_E4M3_MAGNITUDES[:127], _NAN, *(-v for v in _E4M3_MAGNITUDES[:127]), _NAN)
VALUES = {"nf4": NF4, "mxfp4": E2M1, "nvfp4": E2M1}  # by code
SCALES = {"mxfp4": E8M0, "nvfp4": E4M3}  # by byte; NF4 keeps float32


def byte_values(kind: str) -> list[list[float]]:
    """The two weights in each byte, (256, 2), in order: NF4 begins with the high nibble."""
    values = VALUES[kind]
    pairs = [[values[byte % 16], values[byte // 16]] for byte in range(256)]
    return [pair[::-1] for pair in pairs] if kind == "nf4" else pairs


_BYTE_VALUES = {kind: torch.tensor(byte_values(kind)) for kind in VALUES}
_SCALES = {kind: torch.tensor(scales) for kind, scales in SCALES.items()}


def _engine_op(
    name: str, shape: Callable[[dict[str, Any]], tuple[int, ...]]
) -> Callable[[Callable[..., Tensor]], TorchOp]:
    """Register a reference as an operator that our library does not have."""

    def register(reference: Callable[..., Tensor]) -> TorchOp:
        torch_op(name, shape)(reference)
        ENGINE_OPS[name] = OPS.pop(name)
        return ENGINE_OPS[name]

    return register


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Codes (..., n) uint8 -> bytes (..., n * bits / 8), rounded up, the first in the low bits."""
    count = 8 // bits
    padded = torch.nn.functional.pad(codes, (0, -codes.shape[-1] % count))
    places = 1 << (bits * torch.arange(count, dtype=torch.int32))
    packed: Tensor = (padded.unflatten(-1, (-1, count)) * places).sum(-1)
    return packed.to(torch.uint8)


def unpack_bits(packed: Tensor, bits: int) -> Tensor:
    """Undo `pack_bits`: bytes (..., n) -> codes (..., 8 / bits * n) int32."""
    shifts = bits * torch.arange(8 // bits, dtype=torch.int32)
    return (packed.to(torch.int32).unsqueeze(-1) >> shifts & ((1 << bits) - 1)).flatten(-2)


def _padded_columns(a: dict[str, Any]) -> int:
    return int(a["codes"].shape[1] * a["codes"].shape[2] * 8 // a["bits"])


def _decode(codes: Tensor, scales: Tensor, zero_points: Tensor, bits: int) -> Tensor:
    """Codes (..., groups, bytes), scales (..., groups) -> weights (..., columns with padding)."""
    zeros = unpack_bits(zero_points, bits)[..., : scales.shape[-1]]
    steps = unpack_bits(codes, bits) - zeros.unsqueeze(-1)
    return (steps * scales.unsqueeze(-1)).flatten(-2)


@_engine_op("MatMulBlocks", lambda a: (*a["x"].shape[:-1], a["codes"].shape[0]))
def matmul_blocks(
    x: Tensor,
    codes: Tensor,
    scales: Tensor,
    zero_points: Tensor,
    bias: Tensor | None,
    columns: int,
    bits: int,
    int8: bool,
) -> Tensor:
    """y = x W^T + bias, with W in integer steps: MatMulNBits of ONNX Runtime.

    x: (..., columns); codes: (rows, groups, bytes of a group); scales: (rows, groups);
    zero_points: (rows, bytes); int8: round activations to int8, one scale a group of columns.
    """
    weight = _decode(codes, scales, zero_points, bits)[:, :columns]
    seen = _round_to_int8(x, codes.shape[2] * 8 // bits) if int8 else x
    y = seen @ weight.T
    return y if bias is None else y + bias


def _round_to_int8(x: Tensor, group: int) -> Tensor:
    """Round x (..., columns) to int8 steps, one scale a group of columns, back in floats."""
    columns = x.shape[-1]
    padded = torch.nn.functional.pad(x, (0, -columns % group)).unflatten(-1, (-1, group))
    step = (padded.abs().amax(-1, keepdim=True) / 127).clamp(min=torch.finfo(x.dtype).tiny)
    rounded: Tensor = torch.round(padded / step) * step
    return rounded.flatten(-2)[..., :columns]


@_engine_op("DecodeBlocks", lambda a: (a["codes"].shape[0], _padded_columns(a)))
def decode_blocks(codes: Tensor, scales: Tensor, zero_points: Tensor, bits: int) -> Tensor:
    """Integer steps, as for `matmul_blocks`, to weights (rows, columns with padding)."""
    return _decode(codes, scales, zero_points, bits)


@_engine_op("GatherBlocks", lambda a: (*a["indices"].shape, _padded_columns(a)))
def gather_blocks(
    indices: Tensor, codes: Tensor, scales: Tensor, zero_points: Tensor, bits: int
) -> Tensor:
    """Rows (..., columns with padding) of a table in integer steps: GatherBlockQuantized."""
    return _decode(codes[indices], scales[indices], zero_points[indices], bits)


@_engine_op("MatMulNF4", lambda a: (*a["x"].shape[:-1], a["codes"].shape[0]))
def matmul_nf4(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """y = x W^T: MatMulBnb4 of ONNX Runtime.

    x: (..., groups * 64); codes: (rows, groups, 32); scales: (rows, groups) float32.
    """
    return x @ _look_up(codes, scales, 1.0, "nf4").T


@_engine_op("LookUpBlocks", lambda a: (*a["codes"].shape[:-2], _nibbles(a["codes"])))
def look_up_blocks(codes: Tensor, scales: Tensor, unit: float, kind: str) -> Tensor:
    """Codes of 4 bits (..., groups, bytes) to weights (..., columns with padding).

    scales: (..., groups), as `kind` has them, in units of `unit`.
    """
    return _look_up(codes, scales, unit, kind)


def _look_up(codes: Tensor, scales: Tensor, unit: float, kind: str) -> Tensor:
    values = _BYTE_VALUES[kind][codes.to(torch.int64)].flatten(-2)
    numbers = _SCALES[kind][scales.to(torch.int64)] if kind in _SCALES else scales
    return (values * (numbers * unit).unsqueeze(-1)).flatten(-2)


def _nibbles(codes: Tensor) -> int:
    return codes.shape[-2] * codes.shape[-1] * 2
