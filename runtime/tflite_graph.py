"""One subgraph of a `.tflite` file: its tensors, and what flows in and out."""

from __future__ import annotations

from collections.abc import Sequence

from smalti.runtime.flatbuffer import FlatBuffer, MalformedError, Record, check_each
from smalti.runtime.tflite_tensors import State, read_tensor


class Graph:
    """A subgraph whose tensors, inputs and outputs have been checked.

    Raises:
        MalformedError: one of them is not what it should be.
    """

    def __init__(self, record: Record, buffers: list[memoryview], file: FlatBuffer) -> None:
        count = len(record["tensors"])
        self.tensors = check_each("tensors", record["tensors"], read_tensor, count, buffers, file)
        self.operators: list[Record] = record["operators"]
        self.inputs = self.known("inputs", record["inputs"], 0)
        self.outputs = self.known("outputs", record["outputs"], 0)
        self._states = [tensor.state for tensor in self.tensors]
        self.produce("inputs", self.inputs)

    def known(self, field: str, indices: Sequence[int], lowest: int = -1) -> Sequence[int]:
        """Return the indices, all of tensors that exist; -1 is one left out."""
        for index in indices:
            if not lowest <= index < len(self.tensors):
                raise MalformedError(f"tensor {index} of {len(self.tensors)}", field)
        return indices

    def consume(self, field: str, indices: Sequence[int]) -> None:
        """Check that all these tensors have values by now."""
        for index in indices:
            if index >= 0 and self._states[index] == State.NOTHING:
                raise MalformedError(f"{self._name(index)} has no value yet", field)

    def produce(self, field: str, indices: Sequence[int]) -> None:
        """Give values to these tensors, which must not have any."""
        for index in indices:
            if self._states[index] == State.FULL:
                raise MalformedError(f"{self._name(index)} has a value already", field)
            self._states[index] = State.FULL

    def _name(self, index: int) -> str:
        return f"tensor {index} ({self.tensors[index].name})"
