"""One weight matrix in a block format: which scales, which codes, and their bytes.

Scales come out as the file stores them, so that whoever rounds against a `Lookup` sees exactly what
an engine will. MXFP4: OCP Microscaling Formats 1.0, sections 5 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from smalti.quant.engine_ops import E2M1, VALUES, decode_blocks, look_up_blocks, pack_bits
from smalti.quant.rounding.lookup import Lookup
from smalti.runtime.format import BlockFormat

# Widths tried, in twentieths of a group's range, the narrowest by bits. Above 20: a zero point that
# was rounded to an integer can leave too little room on one side.
_WIDEST = 22
_NARROWEST = {8: 18, 4: 14, 2: 8}
_E2M1_TOP = 6.0
_E4M3_TOP = 448.0
_SMALLEST = -127  # exponent of E8M0
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class BlockWeight:
    """A packed matrix (rows, columns) and what it lost.

    codes: (rows, groups, bytes of a group) uint8; scales: (rows, groups), float32 or bytes of E8M0
    (mxfp4) or E4M3 (nvfp4), in units of `unit`; zero_points: (rows, bytes) uint8, for integers;
    error: ||W' - W||^2 / ||W||^2.
    """

    format: BlockFormat
    rows: int
    columns: int
    codes: Tensor
    scales: Tensor
    zero_points: Tensor | None
    unit: float
    error: float

    @property
    def bytes(self) -> int:
        """Size in the file."""
        zero_points = 0 if self.zero_points is None else self.zero_points.nbytes
        return self.codes.nbytes + self.scales.nbytes + zero_points


def block_lookup(weight: Tensor, form: BlockFormat) -> Lookup:
    """Choose scales, and offsets for integers, of a finite matrix (rows, columns).

    Integers: of several ranges around the weights and zero, the one with the least squared error.
    nf4: the largest magnitude. mxfp4: of OCP's power of two and twice that, the one with less
    squared error. nvfp4: the largest magnitude / 6 in E4M3, in units of a power of two.
    """
    groups = _grouped(weight.detach().to(torch.float32), form.group)
    # Squares of very large or small weights would leave the range of float32.
    exponent = _exponent(groups.abs().max())
    groups = torch.ldexp(groups, -exponent)
    if form.is_integer:
        scales, offsets = _integer_scales(groups, form.code_bits)
        values = torch.arange(1 << form.code_bits, dtype=torch.float32)[:, None]
        scales = torch.ldexp(scales, exponent).clamp(min=_TINY)
        return Lookup(values, scales, offsets * scales, form.group)
    chosen = {"nf4": _largest, "mxfp4": _mxfp4_scales, "nvfp4": _nvfp4_scales}[form.kind]
    scales = torch.ldexp(chosen(groups), exponent)
    if form.kind == "mxfp4":
        scales = scales.clamp(min=2.0**_SMALLEST)
    return Lookup(torch.tensor(VALUES[form.kind])[:, None], scales, None, form.group)


def _grouped(matrix: Tensor, width: int) -> Tensor:
    """(rows, columns) -> (rows, groups, width), padded with zeros."""
    padded = functional.pad(matrix, (0, -matrix.shape[1] % width))
    return padded.reshape(len(matrix), -1, width)


def _exponent(values: Tensor) -> Tensor:
    """Exponents of the leading bits."""
    exponents: Tensor = torch.frexp(values).exponent
    return exponents - 1


def _largest(groups: Tensor) -> Tensor:
    return groups.abs().amax(-1)


def _integer_scales(groups: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scales and offsets in steps, both (rows, groups): minus the zero points."""
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True)
    full = (high.clamp(min=0) - low).clamp(min=_TINY)
    top = (1 << bits) - 1
    best, least = torch.zeros_like(full), torch.full_like(full, torch.inf)
    zeros = torch.round(-low / full * top)
    for twentieths in range(_WIDEST, _NARROWEST[bits] - 1, -1):
        scale = full * (twentieths / (20 * top))
        steps = torch.minimum(torch.maximum(torch.round(groups / scale), -zeros), top - zeros)
        error = (steps * scale - groups).square().sum(-1, keepdim=True)
        best = torch.where(error < least, scale, best)
        least = torch.minimum(error, least)
    return best.squeeze(-1), -zeros.squeeze(-1)


def _mxfp4_scales(groups: Tensor) -> Tensor:
    largest = _largest(groups).unsqueeze(-1)
    floor = torch.ldexp(torch.ones_like(largest), _exponent(largest) - 2)
    values = torch.tensor(E2M1)
    errors = [
        (values[_nearest(groups / s, values)] * s - groups).square().sum(-1)
        for s in (floor, 2 * floor)
    ]
    return torch.where(errors[0] <= errors[1], floor.squeeze(-1), 2 * floor.squeeze(-1))


def _nvfp4_scales(groups: Tensor) -> Tensor:
    scales = _largest(groups) / _E2M1_TOP
    unit = _nvfp4_unit(scales)
    return (scales / unit).to(torch.float8_e4m3fn).to(torch.float32) * unit


def _nvfp4_unit(scales: Tensor) -> float:
    """A power of two; in it the largest scale is in (224, 448], the top octave of E4M3."""
    largest = float(scales.max())
    mantissa, exponent = torch.frexp(torch.tensor(largest / _E4M3_TOP))
    return 2.0 ** int(exponent - (1 if mantissa == 0.5 else 0)) if largest > 0 else 1.0


def _nearest(numbers: Tensor, values: Tensor) -> Tensor:
    """Index of the nearest of values (n,) for every number."""
    ordered, order = values.sort(stable=True)
    return order[torch.bucketize(numbers, (ordered[1:] + ordered[:-1]) / 2)]


def nearest_block(weight: Tensor, lookup: Lookup) -> Tensor:
    """Return the nearest codes (rows, columns) uint8 of a matrix (rows, columns)."""
    columns = weight.shape[1]
    numbers = weight.detach().to(torch.float32)
    if lookup.offsets is not None:
        numbers = numbers - lookup.spread(lookup.offsets, columns)
    scales = lookup.spread(lookup.scales, columns)
    numbers = torch.where(scales > 0, numbers / scales, 0.0)
    return _nearest(numbers, lookup.values[:, 0]).to(torch.uint8)


def pack_block(codes: Tensor, lookup: Lookup, form: BlockFormat, weight: Tensor) -> BlockWeight:
    """Pack codes (rows, columns) against `block_lookup(weight, form)`, and measure them."""
    rows, columns = codes.shape
    zero_points = None
    if lookup.offsets is not None:
        zero_points = torch.round(-lookup.offsets / lookup.scales).to(torch.uint8)
        fill = zero_points.repeat_interleave(form.group, dim=1)
    else:  # the last group is filled up with zeros, too
        fill = torch.full((rows, 1), VALUES[form.kind].index(0.0), dtype=torch.uint8)
    room = fill.expand(rows, form.groups(columns) * form.group).clone()
    room[:, :columns] = codes
    packed_codes = _packed_codes(room.unflatten(1, (-1, form.group)), form)
    packed_zeros = None if zero_points is None else pack_bits(zero_points, form.code_bits)
    stored = _stored_scales(lookup.scales, form)
    packed = BlockWeight(form, rows, columns, packed_codes, stored[0], packed_zeros, stored[1], 0.0)
    return replace(packed, error=_relative_error(unpack_block(packed), weight.detach()))


def _packed_codes(codes: Tensor, form: BlockFormat) -> Tensor:
    """Codes (rows, groups, group) -> bytes; NF4 begins with the high nibble."""
    if form.kind == "nf4":
        codes = codes.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return pack_bits(codes, form.code_bits)


def _stored_scales(scales: Tensor, form: BlockFormat) -> tuple[Tensor, float]:
    """Scales as the file has them, and their unit."""
    if form.kind == "mxfp4":
        return (_exponent(scales) - _SMALLEST).to(torch.uint8), 1.0
    if form.kind == "nvfp4":
        unit = _nvfp4_unit(scales)
        return (scales / unit).to(torch.float8_e4m3fn).view(torch.uint8), unit
    return scales.contiguous(), 1.0


def unpack_block(packed: BlockWeight) -> Tensor:
    """Return the weights (rows, columns) float32 that the bytes stand for."""
    bits = packed.format.code_bits
    if packed.zero_points is not None:
        found = decode_blocks.reference(packed.codes, packed.scales, packed.zero_points, bits)
    else:
        kind = packed.format.kind
        found = look_up_blocks.reference(packed.codes, packed.scales, packed.unit, kind)
    return found[:, : packed.columns]


def _relative_error(found: Tensor, weight: Tensor) -> float:
    expected = weight.to(torch.float64)
    norm = float(expected.square().sum())
    return float((found - expected).square().sum()) / norm if norm > 0 else 0.0
