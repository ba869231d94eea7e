"""Transforms of traced tensors before they are computed: the bins that the model keeps are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from smalti.export.complex_forms import Form, Pairs, Range, Ranges, cut_tensor, whole
from smalti.export.fourier import complex_bins, real_bins


@dataclass(frozen=True, eq=False)
class RealSpectrum:
    """The kept bins of a real tensor's transform along an axis."""

    x: Tensor
    axis: int
    n: int
    kept: Range
    scale: float

    @property
    def shape(self) -> Sequence[int]:
        """Of the kept bins."""
        first, last = self.kept
        return [last - first if i == self.axis else s for i, s in enumerate(self.x.shape)]

    def pairs(self) -> Tensor:
        """Compute them, once."""
        return self._computed

    @cached_property
    def _computed(self) -> Tensor:
        return real_bins(self.x, self.axis, self.n, self.kept, self.scale)

    def cut(self, ranges: Ranges) -> Form:
        """Keep fewer bins; a part along another axis is likely one of several."""
        others = whole(self.shape)
        others[self.axis] = ranges[self.axis]
        if list(ranges) != others:
            return Pairs(cut_tensor(self.pairs(), ranges))
        start, stop = ranges[self.axis]
        return replace(self, kept=(self.kept[0] + start, self.kept[0] + stop))

    def support(self, axis: int) -> Ranges:
        """Return all."""
        return [(0, self.shape[axis])]

    def packed(self, axis: int) -> Form:
        """Return all."""
        return self


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The kept bins of a complex tensor's transform along an axis; sign 1: the inverse."""

    source: Form
    axis: int
    n: int
    kept: Range
    scale: float
    sign: int

    @property
    def shape(self) -> Sequence[int]:
        """Of the kept bins."""
        first, last = self.kept
        return [last - first if i == self.axis else s for i, s in enumerate(self.source.shape)]

    def pairs(self) -> Tensor:
        """Compute them."""
        return complex_bins(self.source, self.axis, self.n, self.kept, self.scale, self.sign)

    def cut(self, ranges: Ranges) -> Form:
        """Keep fewer."""
        start, stop = ranges[self.axis]
        others = list(ranges)
        others[self.axis] = (0, self.source.shape[self.axis])
        kept = (self.kept[0] + start, self.kept[0] + stop)
        return replace(self, source=self.source.cut(others), kept=kept)

    def support(self, axis: int) -> Ranges:
        """Return what is not zero along other axes: a transform fills its own."""
        return [(0, self.shape[axis])] if axis == self.axis else self.source.support(axis)

    def packed(self, axis: int) -> Form:
        """Leave the zeros of another axis out."""
        return self if axis == self.axis else replace(self, source=self.source.packed(axis))
