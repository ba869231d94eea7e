"""Reads FlatBuffers and trusts nothing in them.

A `Schema` lists a table's fields in the order of their slots. Reading a root table reads all that
hangs on it into dicts, and checks every offset, size and alignment on the way. Vectors of numbers
stay views of the file. Offsets may share what they point at, so that a small file can describe a
huge tree: a budget bounds the work.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Record = dict[str, Any]

BUDGET = 1 << 26
_TABLE_COST = 64  # a bound of 2^20 tables

_U16, _U32, _I32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")


class MalformedError(ValueError):
    """What is wrong, and in which field of which table."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(f"{path}: {text}" if path else text)
        self._text, self._path = text, path

    def inside(self, where: str) -> MalformedError:
        """Return the same error, seen from a table or vector further out."""
        joint = "." if self._path and self._path[0] not in "[ " else ""
        return MalformedError(self._text, where + joint + self._path)


def check_each(
    where: str, items: Iterable[Any], check: Callable[..., Any], *context: Any
) -> list[Any]:
    """Return `check(item, *context)` of each item; errors name the item by its number."""
    results: list[Any] = []
    try:
        for item in items:
            results.append(check(item, *context))
    except MalformedError as error:
        raise error.inside(f"{where}[{len(results)}]") from None
    return results


class Field(NamedTuple):
    """A slot: its bytes inside the table, its value where absent, and how to read it."""

    size: int
    default: Any
    read: Callable[[FlatBuffer, int, Record], Any]


class Schema:
    """A table's fields in the order of their slots; None where a slot has been retired."""

    def __init__(self, **fields: Field | None) -> None:
        self.slots = [(4 + 2 * i, name, f) for i, (name, f) in enumerate(fields.items()) if f]
        self.defaults: Record = {name: field.default for _, name, field in self.slots}


_Layout = tuple[int, list[tuple[str, int, Field]]]


class FlatBuffer:
    """A file, and how much of it may still be read."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.size = len(view)
        self._left = BUDGET
        self._layouts: dict[tuple[int, Schema], _Layout] = {}

    def root(self, schema: Schema) -> Record:
        """Read the whole tree below the root table.

        Raises:
            MalformedError: something in it lies outside the file, is misaligned or too large.
        """
        return self.table(self.follow(0), schema)

    def spend(self, cost: int) -> None:
        """Account for work, in bytes."""
        self._left -= cost
        if self._left < 0:
            raise MalformedError(f"more than {BUDGET} bytes of tables, texts and shapes")

    def number(self, form: struct.Struct, at: int) -> Any:
        """Read a number at a place."""
        if not 0 <= at <= self.size - form.size:
            raise MalformedError(f"byte {at} lies outside the file's {self.size} bytes")
        if at % form.size:
            raise MalformedError(f"byte {at} is not aligned to {form.size}")
        return form.unpack_from(self.view, at)[0]

    def follow(self, at: int) -> int:
        """Return the place that the offset at a place points to."""
        distance: int = self.number(_U32, at)
        if distance == 0:
            raise MalformedError(f"the offset at byte {at} is zero")
        return at + distance

    def table(self, at: int, schema: Schema) -> Record:
        """Read the table at a place, and what hangs on it."""
        self.spend(_TABLE_COST)
        record = schema.defaults.copy()
        for name, offset, field in self._layout(at, schema):
            try:
                record[name] = field.read(self, at + offset, record)
            except MalformedError as error:
                raise error.inside(name) from None
        return record

    def _layout(self, at: int, schema: Schema) -> list[tuple[str, int, Field]]:
        vtable = at - self.number(_I32, at)
        layout = self._layouts.get((vtable, schema))
        if layout is None:
            layout = self._layouts[vtable, schema] = self._vtable(vtable, schema)
        size, fields = layout
        if size > self.size - at:
            raise MalformedError(f"a table of {size} bytes at byte {at} reaches beyond the file")
        return fields

    def _vtable(self, at: int, schema: Schema) -> _Layout:
        length, size = self.number(_U16, at), self.number(_U16, at + 2)
        if length < 4 or length % 2 or length > self.size - at or size < 4:
            raise MalformedError(f"the vtable at byte {at} of {length} bytes is malformed")
        fields = []
        for slot, name, field in schema.slots:
            offset = self.number(_U16, at + slot) if slot < length else 0
            if offset and not 4 <= offset <= size - field.size:
                raise MalformedError(f"at {offset} in a table of {size} bytes", name)
            if offset:
                fields.append((name, offset, field))
        return size, fields

    def vector(self, at: int, element: int) -> tuple[int, int]:
        """Return where the elements of the vector begin that an offset points to, and how many."""
        start = self.follow(at)
        count: int = self.number(_U32, start)
        start += 4
        if count > (self.size - start) // element:
            raise MalformedError(
                f"{count} elements of {element} bytes at byte {start} reach beyond the file"
            )
        if count and start % element:
            raise MalformedError(f"elements at byte {start} are not aligned to {element}")
        return start, count
