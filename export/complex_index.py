"""Parts of complex tensors: read, and written to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smalti.export.complex_forms import Form, Pairs, Ranges, painted
from smalti.export.complex_number import Complex, function, of_pairs, pairs_of
from smalti.export.functions import ConversionError


def _with_parts(index: Any) -> Any:
    """The index of pairs that a complex tensor's index means."""
    parts = index if isinstance(index, tuple) else (index,)
    return (*parts, slice(None)) if any(p is Ellipsis for p in parts) else index


def _boxed(shape: Sequence[int], index: Any) -> tuple[Ranges, list[int]] | None:
    """Return ranges, and axes that a number drops; None for an index that is no box."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(p is Ellipsis or isinstance(p, int | slice) for p in parts):
        return None
    if any(p is Ellipsis for p in parts):
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    ranges, dropped = [], []
    for axis, (part, size) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, int):
            dropped.append(axis)
            ranges.append((part % size, part % size + 1))
        elif part == slice(None):
            ranges.append((0, size))
        elif part.step in (None, 1):
            start, stop, _ = part.indices(size)
            ranges.append((start, max(start, stop)))
        else:
            return None
    return ranges, dropped


@function("__getitem__")
def part(x: Complex, index: Any) -> Complex:
    """Return x[index]; a box of a transform computes no more than the box."""
    found = _boxed(x.form.shape, index)
    if found is None:
        return of_pairs(x.pairs[_with_parts(index)])
    ranges, dropped = found
    form = x.form.cut(ranges)
    if not dropped:
        return Complex(form)
    pairs = form.pairs()
    return of_pairs(pairs[tuple(0 if i in dropped else slice(None) for i in range(x.ndim))])


@function("__setitem__")
def _assign(x: Complex, index: Any, value: Any) -> None:
    found = _boxed(x.form.shape, index)
    if found is None:
        raise ConversionError("assignment to complex numbers; assign to slices with step 1")
    ranges, dropped = found
    if isinstance(value, int | float | complex) and value == 0:
        x.form = painted(x.form, ranges, None)
        return
    x.form = painted(x.form, ranges, _fitted(value, ranges, dropped))


def _fitted(value: Any, ranges: Ranges, dropped: Sequence[int]) -> Form:
    """Return a value as broadcast to the ranges, with the dropped axes back."""
    sizes = [b - a for i, (a, b) in enumerate(ranges) if i not in dropped]
    if not dropped and isinstance(value, Complex) and list(value.form.shape) == sizes:
        return value.form
    pairs = pairs_of(value).expand(*sizes, 2)
    for axis in dropped:
        pairs = pairs.unsqueeze(axis)
    return Pairs(pairs)
