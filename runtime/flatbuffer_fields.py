"""The kinds of fields that tables of FlatBuffers have."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from smalti.runtime.flatbuffer import Field, FlatBuffer, MalformedError, Record, Schema, check_each

MAX_TEXT = 1 << 16


def scalar(code: str, default: Any = 0) -> Field:
    """Return a number's field, by its letter in module struct."""
    form = struct.Struct("<" + code)
    return Field(form.size, default, lambda file, at, _: file.number(form, at))


def numbers(code: str) -> Field:
    """Return the field of a vector of numbers: a view, of native order as all engines' hosts."""
    size = struct.calcsize("<" + code)
    letter: Any = code

    def read(file: FlatBuffer, at: int, _: Record) -> memoryview:
        start, count = file.vector(at, size)
        if code == "i":  # shapes and indices, which somebody will walk through
            file.spend(size * count)
        return file.view[start : start + size * count].cast(letter)

    return Field(4, memoryview(b"").cast(letter), read)


def _text(file: FlatBuffer, at: int, _: Record) -> str:
    start, count = file.vector(at, 1)
    if count > MAX_TEXT:
        raise MalformedError(f"a text of {count} bytes; the limit is {MAX_TEXT}")
    file.spend(count)
    if start + count >= file.size or file.view[start + count]:
        raise MalformedError(f"the text at byte {start} does not end with a zero")
    try:
        return str(file.view[start : start + count], "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"the text at byte {start} is not UTF-8 ({error.reason})") from None


TEXT = Field(4, None, _text)


def one(schema: Schema) -> Field:
    """Return the field of a table, None where absent."""
    return Field(4, None, lambda file, at, _: file.table(file.follow(at), schema))


def many(schema: Schema) -> Field:
    """Return the field of a vector of tables."""

    def read(file: FlatBuffer, at: int, _: Record) -> list[Record]:
        start, count = file.vector(at, 4)
        places = range(start, start + 4 * count, 4)
        return check_each("", places, lambda place: file.table(file.follow(place), schema))

    return Field(4, (), read)


def union(tag: str, members: Mapping[int, Schema]) -> Field:
    """Return the field of a table whose kind an earlier field tells; kind 0 is none."""

    def read(file: FlatBuffer, at: int, record: Record) -> Record | None:
        kind = record[tag]
        if kind == 0:
            return None
        if kind not in members:
            raise MalformedError(f"{tag} {kind} is not known to this version")
        return file.table(file.follow(at), members[kind])

    return Field(4, None, read)
