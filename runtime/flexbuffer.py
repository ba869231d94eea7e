"""Reads a FlexBuffers map of numbers: the attributes of one of our operators.

Trusts nothing in it: work and memory are bounded by the bytes given.
"""

from __future__ import annotations

import itertools
import struct

Value = int | float | bool | list[int]

_INT, _UINT, _FLOAT, _KEY = 1, 2, 3, 4
_INDIRECT = {6: _INT, 7: _UINT, 8: _FLOAT}
_MAP, _VECTOR, _BOOL = 9, 10, 26
_VECTORS = {11: _INT, 12: _UINT}
_FORMS = {
    **{(_INT, 1 << i): struct.Struct("<" + code) for i, code in enumerate("bhiq")},
    **{(_UINT, 1 << i): struct.Struct("<" + code) for i, code in enumerate("BHIQ")},
    **{(_BOOL, 1 << i): struct.Struct("<" + code) for i, code in enumerate("BHIQ")},
    **{(_FLOAT, 4): struct.Struct("<f"), (_FLOAT, 8): struct.Struct("<d")},
}


def read_map(data: memoryview) -> dict[str, Value]:
    """Return the numbers, truths and lists of whole numbers of a map, by name.

    Raises:
        ValueError: it is no such map, or something in it lies outside the data.
    """
    if len(data) < 3:
        raise ValueError(f"{len(data)} bytes are no FlexBuffers map")
    width, kind = data[-1], data[-2] >> 2
    if kind != _MAP or width not in (1, 2, 4, 8):
        raise ValueError(f"the root is of type {kind}, not a map")
    return _Reader(data).map(len(data) - 2 - width, width, 1 << (data[-2] & 3))


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._left = len(data)

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError("its parts overlap")

    def _number(self, kind: int, at: int, width: int) -> int | float:
        form = _FORMS.get((kind, width))
        if form is None:
            raise ValueError(f"type {kind} of {width} bytes is no number that attributes have")
        if not 0 <= at <= len(self._data) - width:
            raise ValueError(f"byte {at} lies outside the {len(self._data)} bytes")
        value: int | float = form.unpack_from(self._data, at)[0]
        return value

    def _whole(self, at: int, width: int) -> int:
        return int(self._number(_UINT, at, width))

    def _follow(self, at: int, width: int) -> int:
        return at - self._whole(at, width)

    def map(self, at: int, outer: int, width: int) -> dict[str, Value]:
        """Read the map that an offset of `outer` bytes points to."""
        start = self._follow(at, outer)
        count = self._whole(start - width, width)
        names = self._names(start, width, count)
        types = start + count * width
        return {
            name: self._value(start + i * width, width, self._whole(types + i, 1))
            for i, name in enumerate(names)
        }

    def _names(self, start: int, width: int, count: int) -> list[str]:
        keys = self._follow(start - 3 * width, width)
        key_width = self._whole(start - 2 * width, width)
        if self._whole(keys - key_width, key_width) != count:
            raise ValueError(f"{count} values, but not as many keys")
        self._spend(count)
        names = [self._name(self._follow(keys + i * key_width, key_width)) for i in range(count)]
        if any(a >= b for a, b in itertools.pairwise(names)):
            raise ValueError("keys are repeated or out of order")
        return [name.decode() for name in names]

    def _name(self, at: int) -> bytes:
        self._whole(at, 1)
        length = next((i for i, byte in enumerate(self._data[at:]) if byte == 0), None)
        if length is None:
            raise ValueError(f"the key at byte {at} does not end")
        self._spend(length)
        return bytes(self._data[at : at + length])

    def _value(self, at: int, width: int, packed: int) -> Value:
        kind, inner = packed >> 2, 1 << (packed & 3)
        if kind in _INDIRECT:
            return self._number(_INDIRECT[kind], self._follow(at, width), inner)
        if kind == _VECTOR or kind in _VECTORS:
            return self._list(self._follow(at, width), inner, _VECTORS.get(kind))
        value = self._number(kind, at, width)
        return bool(value) if kind == _BOOL else value

    def _list(self, start: int, width: int, kind: int | None) -> list[int]:
        """Read whole numbers of one type, or each of its own: types follow the values."""
        count = self._whole(start - width, width)
        self._spend(count)
        types = start + count * width
        values = []
        for i in range(count):
            own = self._whole(types + i, 1) >> 2 if kind is None else kind
            if own not in (_INT, _UINT):
                raise ValueError(f"a list with an element of type {own}")
            values.append(int(self._number(own, start + i * width, width)))
        return values
