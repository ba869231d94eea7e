"""Which subgraphs of a `.tflite` file call which: all exist, and none calls itself."""

from __future__ import annotations

import graphlib
from collections.abc import Iterator

from smalti.runtime.flatbuffer import MalformedError, Record


def check_calls(graphs: list[Record]) -> None:
    """Check the calls of all operators.

    Raises:
        MalformedError: a subgraph that does not exist, or calls that never end.
    """
    calls = {number: set(_callees(graph)) for number, graph in enumerate(graphs)}
    for number, called in calls.items():
        if not called <= calls.keys():
            wrong = min(called - calls.keys())
            raise MalformedError(f"calls subgraph {wrong} of {len(graphs)}", f"subgraphs[{number}]")
    try:
        graphlib.TopologicalSorter(calls).prepare()
    except graphlib.CycleError as error:
        raise MalformedError(f"they call each other: {error.args[1]}", "subgraphs") from None


def _callees(graph: Record) -> Iterator[int]:
    for operator in graph["operators"]:
        for options in (operator["builtin_options"], operator["builtin_options_2"]):
            for name, value in (options or {}).items():
                if name.startswith("graph"):
                    yield from value if isinstance(value, memoryview) else (value,)
