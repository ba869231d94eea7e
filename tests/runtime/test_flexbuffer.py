"""Attributes of our operators in files of LiteRT."""

import contextlib

import pytest
from flatbuffers import flexbuffers
from hypothesis import given
from hypothesis import strategies as st

from smalti.runtime.flexbuffer import read_map

VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(-1e38, 1e38),
    st.lists(st.integers(-(2**40), 2**40), max_size=20),
)
NAMES = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=8)


@given(st.dictionaries(NAMES, VALUES, max_size=12))
def test_maps_are_read_as_their_authors_read_them(values):
    data = bytes(flexbuffers.Dumps(values))
    assert read_map(memoryview(data)) == flexbuffers.Loads(data) == values


@given(
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_maps_are_read_or_refused(values, changes):
    data = bytearray(flexbuffers.Dumps(values))
    for at, value in changes:
        data[at % len(data)] = value
    with contextlib.suppress(ValueError):
        read_map(memoryview(data))


@pytest.mark.parametrize("code", range(11, 13))
def test_lists_of_one_type(code):
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Key("sizes")
        with builder.TypedVector():
            for value in (1, 2, 300):
                (builder.Int if code == 11 else builder.UInt)(value)
    assert read_map(memoryview(builder.Finish())) == {"sizes": [1, 2, 300]}
