"""Reads the wire format of Protocol Buffers, without their package."""

from __future__ import annotations

from collections.abc import Iterator

_BYTES = 2


def fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, number or bytes).

    Raises:
        ValueError: the message is truncated or none.
    """
    at = 0
    while at < len(view):
        key, at = varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = varint(view, at)
            yield number, value
            continue
        size, at = (8, at) if kind == 1 else (4, at) if kind == 5 else _length(view, at, kind)
        if size > len(view) - at:
            raise ValueError(f"field {number} wants {size} bytes, {len(view) - at} are left")
        yield number, view[at : at + size]
        at += size


def varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at a byte, and where the next one starts."""
    value = 0
    for shift in range(0, 70, 7):
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")


def _length(view: memoryview, at: int, kind: int) -> tuple[int, int]:
    if kind != _BYTES:
        raise ValueError(f"wire type {kind}")
    return varint(view, at)


def only_bytes(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the fields that are texts, bytes or messages."""
    return ((n, v) for n, v in fields(view) if isinstance(v, memoryview))


def unicode(value: memoryview) -> str:
    """Decode a text."""
    return bytes(value).decode()


def pair(view: memoryview) -> tuple[str, str]:
    """Return key and value of an entry of texts."""
    entries = dict(only_bytes(view))
    return unicode(entries.get(1, memoryview(b""))), unicode(entries.get(2, memoryview(b"")))
