"""The most memory a file needs at once, beside the engine's own code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smalti.devices.graph import Graph, Node
from smalti.devices.work import Surroundings, Work


@dataclass(frozen=True)
class Memory:
    """Bytes: of all weights, of the tensors that are alive at the worst moment, and of scratch."""

    weights: int
    activations: int
    scratch: int

    @property
    def peak(self) -> int:
        """All three."""
        return self.weights + self.activations + self.scratch


def memory(graph: Graph, todo: Sequence[Work]) -> Memory:
    """Add up; weights that the engine decodes at load count decoded, too."""
    around = Surroundings(graph)
    stored = sum(len(data) for data in graph.constants.values())
    decoded = sum(around.of(name).bytes for name in _decoded(graph, around))
    live = max(_alive([work.node for work in todo], graph, around), default=0)
    return Memory(stored + decoded, live, max((work.scratch for work in todo), default=0))


def _decoded(graph: Graph, around: Surroundings) -> set[str]:
    """Folded values that nodes read at run time."""
    read = {n for node in graph.nodes if not around.is_folded(node) for n in node.inputs}
    return (read & around.constant) - set(graph.constants)


def _alive(nodes: list[Node], graph: Graph, around: Surroundings) -> Iterator[int]:
    """Bytes alive while each node runs: a tensor lives from its maker to its last reader."""
    last = {name: i for i, node in enumerate(nodes) for name in node.inputs}
    last |= dict.fromkeys(graph.outputs, len(nodes))
    made = {name for node in nodes for name in node.outputs}
    given = {n for node in nodes for n in node.inputs if n} - made - around.constant
    alive = sum(around.of(name).bytes for name in given)
    for i, node in enumerate(nodes):
        alive += sum(around.of(name).bytes for name in node.outputs if name in last)
        yield alive
        done = {name for name in (*node.inputs, *node.outputs) if last.get(name) == i}
        alive -= sum(around.of(name).bytes for name in done if name in made)
