"""A TensorFlow Lite model in memory: tensors and operators added one by one, then bytes.

Objects are those of the schema that ai-edge-litert carries (`ModelT`, `TensorT` and so on).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.flexbuffers import Dumps, Loads
from numpy.typing import NDArray

from smalti.export.tflite_bytes import pack, unpack
from smalti.runtime.contents import DOMAIN

VERSION = 3
SIGNATURE = "serving_default"
ABSENT = -1

Value = int | float | Sequence[int]

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "int64": schema.TensorType.INT64,
    "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8,
    "int8": schema.TensorType.INT8,
    "bool": schema.TensorType.BOOL,
}


class TFLiteModel:
    """One graph. `root` is the schema's own object."""

    def __init__(self, root: Any = None) -> None:
        self.root = root or _empty()
        self.graph = self.root.subgraphs[0]
        self._lengths: dict[tuple[str, int], bytes] = {}
        self._outputs: dict[str, int] = {}

    @classmethod
    def read(cls, content: bytes) -> TFLiteModel:
        """Read a serialized model, also one whose data lies behind its tables."""
        return cls(unpack(content))

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str, data: NDArray[Any] | None = None
    ) -> int:
        """Add a tensor, a constant if it has data, and return its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), _TYPES[dtype]
        tensor.buffer = 0 if data is None else self.buffer(data)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, name: str, array: NDArray[Any]) -> int:
        """Add a constant and return its index."""
        return self.tensor(name, array.shape, array.dtype.name, array)

    def buffer(self, data: NDArray[Any]) -> int:
        """Add bytes and return their buffer's index."""
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        self.root.buffers.append(buffer)
        return len(self.root.buffers) - 1

    def builtin(
        self, code: int, inputs: Sequence[int], outputs: Sequence[int], options: Any = None
    ) -> None:
        """Add one of the engine's own operators; `options` as the schema has them."""
        operator = self._operator(self._opcode(code, None), inputs, outputs)
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options

    def smalti(
        self, op: str, inputs: Sequence[int], output: int, attributes: Mapping[str, Value]
    ) -> int:
        """Add an operator of our library and return its output.

        That is `output`, or the one of an equal operator on equal inputs, as layers share a rotated
        input. Its attributes are custom options, and once more a constant behind the inputs:
        LiteRT's other door does not show a kernel the options of its node. Absent inputs are left
        out at the end, for the same reason.
        """
        given = list(inputs)
        while given[-1] == ABSENT:
            given.pop()
        first = self._outputs.setdefault(f"{op} {given} {attributes}", output)
        if first == output:
            name = text_of(self.graph.tensors[output].name)
            options = self._options(op, attributes)
            given.append(self.constant(f"{name}.attributes", options))
            code = self._opcode(schema.BuiltinOperator.CUSTOM, f"{DOMAIN}.{op}")
            self._operator(code, given, [output]).customOptions = options
        return first

    def _options(self, op: str, attributes: Mapping[str, Value]) -> NDArray[np.uint8]:
        """Attributes as bytes, whose number tells them from others of the same operator.

        LiteRT's other door asks for the shape of an output with nothing but the shapes of inputs at
        hand. FlexBuffers are read from their end, so that bytes in front do not matter.
        """
        options = bytes(Dumps(dict(attributes)))
        while self._lengths.setdefault((op, len(options)), options) != options:
            options = b"\0" + options
        return np.frombuffer(options, np.uint8)

    def _opcode(self, builtin: int, custom: str | None) -> int:
        for i, code in enumerate(self.root.operatorCodes):
            if code.builtinCode == builtin and text_of(code.customCode) == (custom or ""):
                return i
        code = schema.OperatorCodeT()
        code.builtinCode, code.customCode, code.version = builtin, custom, 1
        code.deprecatedBuiltinCode = min(builtin, 127)
        self.root.operatorCodes.append(code)
        return len(self.root.operatorCodes) - 1

    def _operator(self, code: int, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        operator = schema.OperatorT()
        operator.opcodeIndex = code
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        self.graph.operators.append(operator)
        return operator

    def set_metadata(self, name: str, text: str) -> None:
        """Write a text into the file's metadata."""
        entry = schema.MetadataT()
        entry.name = name
        entry.buffer = self.buffer(np.frombuffer(text.encode(), np.uint8))
        kept = [m for m in self.root.metadata or [] if text_of(m.name) != name]
        self.root.metadata = [*kept, entry]

    def set_signature(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
        """Name the inputs and outputs, by tensor index."""
        self.graph.inputs, self.graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey = SIGNATURE
        signature.inputs, signature.outputs = _map(inputs), _map(outputs)
        self.root.signatureDefs = [signature]

    def name_ports(self, inputs: Sequence[str], outputs: Sequence[str] | None = None) -> None:
        """Name the graph's inputs and outputs, in its order."""
        found = self.graph.outputs
        ends = list(outputs or [f"output_{i}" for i in range(len(found))])
        self.set_signature(
            dict(zip(inputs, map(int, self.graph.inputs), strict=True)),
            dict(zip(ends, map(int, found), strict=True)),
        )

    def data(self, tensor: Any) -> NDArray[np.uint8]:
        """Return a tensor's bytes, none if it is no constant."""
        data = self.root.buffers[tensor.buffer].data
        return np.asarray([] if data is None else data, np.uint8)

    def stored(self) -> dict[str, bytes]:
        """Return the bytes of all constants by name."""
        constants = {text_of(t.name): self.data(t).tobytes() for t in self.graph.tensors}
        return {name: data for name, data in constants.items() if data}

    def computed(self) -> Iterator[str]:
        """Names of what the operators compute in float, in the order they run in."""
        for operator in self.graph.operators:
            for tensor in (self.graph.tensors[i] for i in operator.outputs):
                if tensor.type == schema.TensorType.FLOAT32:
                    yield text_of(tensor.name)

    @contextmanager
    def float_activations(self) -> Iterator[None]:
        """Switch the rounding of activations off in all of our operators."""
        rounding = [(o, o.customOptions) for o in self.graph.operators if _rounds(o)]
        for operator, options in rounding:
            off = Dumps({**Loads(bytes(options)), "int8": 0})
            operator.customOptions = np.frombuffer(off, np.uint8)
        try:
            yield
        finally:
            for operator, options in rounding:
                operator.customOptions = options

    def drop_unused_codes(self) -> None:
        """Forget operators that no node is of any more."""
        codes = self.root.operatorCodes
        used: dict[int, int] = {}
        for operator in self.graph.operators:
            operator.opcodeIndex = used.setdefault(operator.opcodeIndex, len(used))
        self.root.operatorCodes = [codes[i] for i in used]

    def to_bytes(self) -> bytes:
        """Serialize; every tensor's data lies behind the tables, at multiples of 64 bytes."""
        return pack(self.root)


def text_of(value: bytes | str | None) -> str:
    """Return a name of the schema's, which is bytes in what was read and None if absent."""
    return value.decode() if isinstance(value, bytes) else value or ""


def _rounds(operator: Any) -> bool:
    options = operator.customOptions
    return options is not None and bool(Loads(bytes(options)).get("int8"))


def _map(names: Mapping[str, int]) -> list[Any]:
    entries = []
    for name, index in names.items():
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        entries.append(entry)
    return entries


def _empty() -> Any:
    root, graph = schema.ModelT(), schema.SubGraphT()
    graph.tensors, graph.operators, graph.name = [], [], "main"
    root.version, root.description = VERSION, DOMAIN
    root.subgraphs, root.operatorCodes, root.buffers = [graph], [], [schema.BufferT()]
    return root
