"""What a complex tensor is while a module is traced: pairs of reals, or what will give them.

Forms are values that nothing changes. Ranges are (start, stop) along an axis. A form is asked for
as little as is needed: transforms of which the model keeps some bins compute those, and zeros that
a model fills up with take no part in products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

Range = tuple[int, int]
Ranges = Sequence[Range]


class Form(Protocol):
    """A complex tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """Of the complex tensor."""
        ...

    def pairs(self) -> Tensor:
        """Return (*shape, 2): real and imaginary parts."""
        ...

    def cut(self, ranges: Ranges) -> Form:
        """Return what is within a range of each axis."""
        ...

    def support(self, axis: int) -> Ranges:
        """Return the ranges outside which everything is zero, in order and apart."""
        ...

    def packed(self, axis: int) -> Form:
        """Return what is within the support, without the zeros between."""
        ...


def slices(ranges: Ranges, shape: Sequence[int]) -> tuple[slice, ...]:
    """Return ranges as an index; what is all of an axis is left alone."""
    return tuple(
        slice(None) if range_ == (0, size) else slice(*range_)
        for range_, size in zip(ranges, shape, strict=True)
    )


def whole(shape: Sequence[int]) -> list[Range]:
    """Return the ranges that leave nothing out."""
    return [(0, size) for size in shape]


def cut_tensor(x: Tensor, ranges: Ranges) -> Tensor:
    """Return x[ranges], x itself where that is all of it."""
    index = slices(ranges, x.shape[: len(ranges)])
    return x if all(part == slice(None) for part in index) else x[index]


@dataclass(frozen=True)
class Pairs:
    """Known numbers: (..., 2)."""

    tensor: Tensor

    @property
    def shape(self) -> Sequence[int]:
        """Of the complex tensor."""
        return self.tensor.shape[:-1]

    def pairs(self) -> Tensor:
        """Return the tensor."""
        return self.tensor

    def cut(self, ranges: Ranges) -> Form:
        """Return a part."""
        return Pairs(cut_tensor(self.tensor, ranges))

    def support(self, axis: int) -> Ranges:
        """Return all: nothing is known to be zero."""
        return [(0, self.shape[axis])]

    def packed(self, axis: int) -> Form:
        """Return all."""
        return self


@dataclass(frozen=True)
class Patch:
    """A part of a canvas: where it is, and what is there."""

    ranges: Ranges
    form: Form

    def shifted(self, axis: int, offset: int) -> Patch:
        """Return it somewhere else along an axis."""
        moved = [(a + offset, b + offset) if i == axis else (a, b) for i, (a, b) in self._numbered]
        return replace(self, ranges=moved)

    def within(self, ranges: Ranges) -> Patch | None:
        """Return what is inside, as seen from there."""
        both = [(max(a, c), min(b, d)) for (a, b), (c, d) in zip(self.ranges, ranges, strict=True)]
        if any(a >= b for a, b in both):
            return None
        local = [(a - c, b - c) for (a, b), (c, _) in zip(both, self.ranges, strict=True)]
        outer = [(a - c, b - c) for (a, b), (c, _) in zip(both, ranges, strict=True)]
        return Patch(outer, self.form.cut(local))

    @property
    def _numbered(self) -> list[tuple[int, Range]]:
        return list(enumerate(self.ranges))


@dataclass(frozen=True)
class Canvas:
    """Zeros but for some patches that do not overlap."""

    size: Sequence[int]
    patches: Sequence[Patch]

    @property
    def shape(self) -> Sequence[int]:
        """Of all of it."""
        return self.size

    def pairs(self) -> Tensor:
        """Return the sum of the patches, each filled up with zeros."""
        if not self.patches:
            return torch.zeros(*self.size, 2)
        return reduce(torch.add, [self._filled_up(patch) for patch in self.patches])

    def _filled_up(self, patch: Patch) -> Tensor:
        pads = [0, 0]
        for (start, stop), size in zip(reversed(patch.ranges), reversed(self.size), strict=True):
            pads += [start, size - stop]
        pairs = patch.form.pairs()
        return functional.pad(pairs, pads) if any(pads) else pairs

    def cut(self, ranges: Ranges) -> Form:
        """Return the parts of patches that are inside."""
        inside = [patch.within(ranges) for patch in self.patches]
        return canvas([b - a for a, b in ranges], [p for p in inside if p is not None])

    def support(self, axis: int) -> Ranges:
        """Return where the patches are."""
        merged: list[Range] = []
        for start, stop in sorted(patch.ranges[axis] for patch in self.patches):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(stop, merged[-1][1])
            else:
                merged.append((start, stop))
        return merged or [(0, 1)]

    def packed(self, axis: int) -> Form:
        """Move the patches together."""
        moved, before = [], 0
        for start, stop in self.support(axis):
            inside = [p for p in self.patches if start <= p.ranges[axis][0] < stop]
            moved += [p.shifted(axis, before - start) for p in inside]
            before += stop - start
        return canvas([before if i == axis else n for i, n in enumerate(self.size)], moved)


def canvas(size: Sequence[int], patches: Sequence[Patch]) -> Form:
    """Return a canvas, or the patch that covers all of it."""
    if len(patches) == 1 and list(patches[0].ranges) == whole(size):
        return patches[0].form
    return Canvas(size, patches)


def painted(form: Form, ranges: Ranges, value: Form | None) -> Form:
    """Return the form with something else at the ranges; None: zeros."""
    if isinstance(form, Canvas) and all(p.within(ranges) is None for p in form.patches):
        return form if value is None else canvas(form.size, [*form.patches, Patch(ranges, value)])
    rest = _around(form.shape, ranges)
    kept = [Patch(r, form.cut(r)) for r in rest]
    return canvas(form.shape, kept if value is None else [*kept, Patch(ranges, value)])


def _around(shape: Sequence[int], ranges: Ranges) -> list[list[Range]]:
    """Return boxes that are all but the one at the ranges: before and after it, axis by axis."""
    found, box = [], whole(shape)
    for axis, (start, stop) in enumerate(ranges):
        for part in ((0, start), (stop, shape[axis])):
            if part[0] != part[1]:
                found.append([*box[:axis], part, *box[axis + 1 :]])
        box[axis] = start, stop
    return found
