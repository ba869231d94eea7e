"""The tables of a `.tflite` file: their fields, in the order of the slots of schema.fbs, version 3.

Options of operators matter only to the engine. A letter a slot tells what an engine will follow.
"""

from __future__ import annotations

from smalti.runtime.flatbuffer import Field, Schema
from smalti.runtime.flatbuffer_fields import TEXT, many, numbers, one, scalar, union

CUSTOM = 32
STRING = 5
# Bits of an element by the type's number; 0 where the size varies.
TYPE_BITS = (
    *(32, 16, 32, 8, 64, 0, 8, 16, 64, 8, 64, 128, 64, 0, 0, 32, 16, 4, 16, 2, 4, 8, 8),
)  # fmt: skip

_KINDS: dict[str, Field | None] = {
    "-": None,
    "1": scalar("B"),
    "4": scalar("I"),
    "8": scalar("Q"),
    "B": numbers("B"),
    "I": numbers("I"),
    "f": numbers("f"),
    "g": scalar("i"),
    "i": numbers("i"),
    "q": numbers("q"),
    "s": TEXT,
}


def _options(count: int, slots: dict[int, str]) -> dict[int, Schema]:
    """Return schemas of options 1 to count; `graph...` are numbers of subgraphs they call."""

    def schema(letters: str) -> Schema:
        names = (f"{'graph' if letter in 'gG' else 'slot'}_{i}" for i, letter in enumerate(letters))
        kinds = (_KINDS["i" if letter == "G" else letter] for letter in letters)
        return Schema(**dict(zip(names, kinds, strict=True)))

    return {kind: schema(slots.get(kind, "")) for kind in range(1, count + 1)}


_OPTIONS = _options(
    126,
    {
        **{1: "1441441", 2: "1444144", 3: "4ii", 4: "1", 5: "144441", 6: "411", 7: "11"},
        **{8: "11111B", 9: "4", 10: "41", 11: "11", 12: "1", 13: "4444", 14: "14411"},
        **{15: "--11", 16: "g", 17: "i", 18: "441", 19: "4", 20: "1", 21: "1", 23: "44"},
        **{27: "1", 28: "11", 29: "1", 30: "i", 31: "111", 32: "444441", 35: "4", 37: "11"},
        **{40: "1", 49: "14411", 50: "1", 55: "1", 57: "1", 58: "4441", 59: "44", 61: "4"},
        **{64: "44", 69: "144111", 70: "1111", 71: "144111", 74: "11", 75: "4", 77: "1"},
        **{79: "4", 80: "1", 87: "44", 92: "gg", 93: "gg", 94: "4", 101: "111", 102: "11"},
        **{103: "g", 106: "14441444", 107: "411", 111: "ss", 114: "88", 115: "f", 116: "1"},
    },
)
_OPTIONS_2 = _options(
    23,
    {
        **{1: "8", 2: "q", 3: "qqq", 4: "qqqqB88q88q88q88I", 5: "s1s4iB", 6: "qg"},
        **{7: "1qqq81g", 8: "44", 9: "q", 10: "qqq", 11: "8", 12: "qqqqI", 13: "qqqqqg"},
        **{14: "81g", 15: "gg", 16: "qqq8q1", 17: "q", 19: "1", 20: "4", 21: "sgB14", 23: "G"},
    },
)

_OPERATOR = Schema(
    opcode_index=scalar("I"),
    inputs=numbers("i"),
    outputs=numbers("i"),
    builtin_options_type=scalar("B"),
    builtin_options=union("builtin_options_type", _OPTIONS),
    custom_options=numbers("B"),
    custom_options_format=scalar("b"),
    mutating_variable_inputs=numbers("B"),
    intermediates=numbers("i"),
    large_custom_options_offset=scalar("Q"),
    large_custom_options_size=scalar("Q"),
    builtin_options_2_type=scalar("B"),
    builtin_options_2=union("builtin_options_2_type", _OPTIONS_2),
    debug_metadata_index=scalar("i"),
)
# Of scales inside tensors of their own; blockwise and multi-axis tables have the same slots.
_IN_TENSORS = Schema(
    scales=scalar("i"), zero_points=scalar("i"), block_size=scalar("i"), axes=numbers("i")
)
_QUANTIZATION = Schema(
    min=numbers("f"),
    max=numbers("f"),
    scale=numbers("f"),
    zero_point=numbers("q"),
    details_type=scalar("B"),
    details=union("details_type", {1: Schema(custom=numbers("B")), 2: _IN_TENSORS, 3: _IN_TENSORS}),
    quantized_dimension=scalar("i"),
)
_VARIANT = Schema(shape=numbers("i"), type=scalar("b"), has_rank=scalar("B"))
_TENSOR = Schema(
    shape=numbers("i"),
    type=scalar("b"),
    buffer=scalar("I"),
    name=TEXT,
    quantization=one(_QUANTIZATION),
    is_variable=scalar("B"),
    sparsity=one(Schema()),
    shape_signature=numbers("i"),
    has_rank=scalar("B"),
    variant_tensors=many(_VARIANT),
    external_buffer=scalar("I"),
)
_SUBGRAPH = Schema(
    tensors=many(_TENSOR),
    inputs=numbers("i"),
    outputs=numbers("i"),
    operators=many(_OPERATOR),
    name=TEXT,
    debug_metadata_index=scalar("i"),
)
_OPERATOR_CODE = Schema(
    deprecated_builtin_code=scalar("b"),
    custom_code=TEXT,
    version=scalar("i"),
    builtin_code=scalar("i"),
)
_TENSOR_MAP = Schema(name=TEXT, tensor_index=scalar("I"))
_SIGNATURE = Schema(
    inputs=many(_TENSOR_MAP),
    outputs=many(_TENSOR_MAP),
    signature_key=TEXT,
    retired=None,
    subgraph_index=scalar("I"),
)
MODEL = Schema(
    version=scalar("I"),
    operator_codes=many(_OPERATOR_CODE),
    subgraphs=many(_SUBGRAPH),
    description=TEXT,
    buffers=many(Schema(data=numbers("B"), offset=scalar("Q"), size=scalar("Q"))),
    metadata_buffer=numbers("i"),
    metadata=many(Schema(name=TEXT, buffer=scalar("I"))),
    signature_defs=many(_SIGNATURE),
    external_buffer_groups=many(Schema()),
    external_buffers=many(Schema()),
)
