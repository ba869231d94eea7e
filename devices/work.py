"""What each node of a graph has to do: multiply, touch numbers, read weights.

Kinds of work, each with a rate of its own in a device's profile:
    float, conv          multiply-adds in fp32, of matrices and of convolutions
    depthwise            multiply-adds of convolutions with few channels a group
    int8, int4, nf4 ...  multiply-adds with the engine's own low-bit weights
    vq-2x64 ...          multiply-adds with our packed weights
    vq-float             the same, activations in fp32
    rotate, rotate-odd   numbers through a Hadamard transform, of order 2^k or 12, 20, 28 * 2^k
    patch, patch-odd     numbers gathered and rotated for our convolution, in the same orders
    move, exp, norm      numbers copied or added; put through exp or tanh; normalized
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from smalti.devices.graph import Graph, Node, Value
from smalti.runtime.packing import Header

ELEMENT_KINDS = ("depthwise", "rotate", "rotate-odd", "patch", "patch-odd", "move", "exp", "norm")

_VIEWS = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Shape", "Constant", "Size"}
_EXP = {"Gelu", "Softmax", "LogSoftmax", "Erf", "Exp", "Log", "Sigmoid", "Tanh", "Pow", "Sin"}
_EXP |= {"Cos", "Elu", "Selu", "Mish", "Softplus", "BiasGelu", "FastGelu", "QuickGelu"}
_NORMS = {"LayerNormalization", "SkipLayerNormalization", "InstanceNormalization"}
_NORMS |= {"GroupNormalization", "RMSNormalization", "SimplifiedLayerNormalization"}
_FUSED_AFTER = {"Conv", "Gemm", "FullyConnected"}  # the engine does what follows in one go
_FUSED = {"Relu", "Clip", "Add"}
_EMPTY = Value((0,), 32)


class Part(NamedTuple):
    """Work of one kind: multiply-adds or numbers; rows: of the left matrix, 0 where none."""

    kind: str
    amount: int
    rows: int = 0


Parts = tuple[tuple[Part, ...], int]  # and bytes of scratch


@dataclass(frozen=True)
class Work:
    """What a node does. weights: bytes of constants that it reads; moved: of other tensors.

    scratch: bytes that it needs beside its output.
    """

    node: Node
    parts: tuple[Part, ...]
    weights: int
    moved: int
    scratch: int = 0

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return sum(part.amount for part in self.parts if part.kind not in ELEMENT_KINDS[1:])


class Surroundings:
    """What a node sees of its graph: sizes, and what is constant by the time it runs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.values = dict(graph.values)
        self.constant = set(graph.constants)
        self._makers = {name: node.op for node in graph.nodes for name in node.outputs}
        self._uses: dict[str, int] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self._uses[name] = self._uses.get(name, 0) + 1
        for node in graph.nodes:
            self._fill_in(node)

    def _fill_in(self, node: Node) -> None:
        """An engine folds what it can at load; a shape not told is that of the largest input.

        Weights are not what a shape follows, where there is anything else.
        """
        if "." not in node.op and all(not n or n in self.constant for n in node.inputs):
            self.constant.update(node.outputs)
        flowing = [name for name in node.inputs if name not in self.constant] or node.inputs
        largest = max((self.of(name) for name in flowing), key=_bytes, default=_EMPTY)
        for name in node.outputs:
            self.values.setdefault(name, largest)

    def of(self, name: str) -> Value:
        """Size of a value; of none, where it is left out."""
        return self.values.get(name, _EMPTY)

    def is_folded(self, node: Node) -> bool:
        """Whether the node runs once, at load."""
        return all(name in self.constant for name in node.outputs)

    def is_fused(self, node: Node) -> bool:
        """Whether the engine makes it part of the node before."""
        before = [name for name in node.inputs if self._makers.get(name) in _FUSED_AFTER]
        return node.op in _FUSED and any(self._uses[name] == 1 for name in before)


def _bytes(value: Value) -> int:
    return value.bytes


def works(graph: Graph) -> Iterator[Work]:
    """Yield the work of every node that runs each time."""
    around = Surroundings(graph)
    for node in graph.nodes:
        if not around.is_folded(node):
            yield _work(node, around)


def _work(node: Node, around: Surroundings) -> Work:
    output = around.of(node.outputs[0])
    parts, scratch = ((), 0) if around.is_fused(node) else _parts(node, output, around)
    # A look-up reads as much of its table as it writes.
    looks_up = "Gather" in node.op
    stored = [name for name in node.inputs if name in around.constant and not looks_up]
    flowing = [name for name in (*node.inputs, *node.outputs) if name not in around.constant]
    weights = sum(around.of(name).bytes for name in stored)
    return Work(node, parts, weights, sum(around.of(name).bytes for name in flowing), scratch)


def _parts(node: Node, output: Value, around: Surroundings) -> Parts:
    """Return the parts of a node's work, and its scratch."""
    if node.op in _SPECIAL:
        return _SPECIAL[node.op](node, output, around)
    if node.op in _VIEWS:
        return (Part("move", 0),), 0
    kind = "exp" if node.op in _EXP else "norm" if node.op in _NORMS else "move"
    flowing = [name for name in node.inputs[:1] if name not in around.constant]
    numbers = max([output.elements, *(around.of(name).elements for name in flowing)])
    return (Part(kind, numbers),), 0


def _product(node: Node, output: Value, around: Surroundings) -> Parts:
    """Matrices (..., rows, columns) times (..., columns, outputs)."""
    left, right = around.of(node.inputs[0]), around.of(node.inputs[1])
    transposed = node.attributes.get("transA")
    columns = (left.shape or (1,))[0 if transposed else -1]
    is_weight = len(right.shape) == 2
    rows = output.elements // output.shape[-1] if is_weight else (output.shape or (1,))[-2]
    return (Part("float", output.elements * columns, rows),), 0


def _fully_connected(node: Node, output: Value, around: Surroundings) -> Parts:
    """LiteRT's: weights (outputs, columns), in fp32 or 8 or 4 bits."""
    weight = around.of(node.inputs[1])
    kind = {8: "int8", 4: "int4"}.get(weight.bits, "float")
    rows = output.elements // max(output.shape[-1], 1)
    return (Part(kind, output.elements * weight.shape[-1], rows),), 0


def _low_bit(node: Node, output: Value, around: Surroundings) -> Parts:
    """ONNX Runtime's, of K columns and N outputs; activations become int8."""
    columns, bits = node.attributes["K"], node.attributes.get("bits", 4)
    rows = output.elements // max(node.attributes["N"], 1)
    kind = "nf4" if node.op == "MatMulBnb4" else f"int{bits}"
    return (Part(kind, output.elements * columns, rows),), rows * columns


def _convolution(node: Node, output: Value, around: Surroundings) -> Parts:
    """Weights are (outputs, inputs / groups, ...) in ONNX, (outputs, ..., inputs) in LiteRT."""
    weight = around.of(node.inputs[1])
    taps = weight.elements // max(weight.shape[0], 1)
    pixels = output.elements // max(weight.shape[0], 1)
    if node.op == "DepthwiseConv":  # (1, height, width, channels)
        taps, pixels = weight.elements // weight.shape[-1], 0
    few = node.op == "DepthwiseConv" or (node.attributes.get("group") or 1) > 1
    kind = "depthwise" if few else "conv"
    return (Part(kind, output.elements * taps, 0 if few else pixels),), 0


def _up_convolution(node: Node, output: Value, around: Surroundings) -> Parts:
    """A transposed convolution meets every input pixel with all of its weights but the inputs'."""
    source, weight = around.of(node.inputs[0]), around.of(node.inputs[1])
    macs = source.elements * weight.elements // max(weight.shape[0], 1)
    return (Part("conv", macs, source.elements // max(weight.shape[0], 1)),), 0


def _packed(node: Node, around: Surroundings) -> Header:
    return Header.read(around.graph.constants[node.inputs[1]])


def _grid(node: Node, packed: Header) -> str:
    return packed.format.grid_name if node.attributes.get("int8") else "vq-float"


def _vq_matmul(node: Node, output: Value, around: Surroundings) -> Parts:
    packed = _packed(node, around)
    rows = output.elements // packed.rows
    macs = output.elements * packed.columns
    return (Part(_grid(node, packed), macs, rows),), rows * packed.columns


def _vq_conv(node: Node, output: Value, around: Surroundings) -> Parts:
    packed = _packed(node, around)
    pixels = output.elements // packed.rows
    grid = _grid(node, packed)
    return vq_conv_parts(grid, pixels, packed.columns, packed.rows, packed.block)


def vq_conv_parts(grid: str, pixels: int, columns: int, outputs: int, block: int) -> Parts:
    """Our convolution: a product, and patches of `columns` numbers."""
    numbers = pixels * columns
    product = Part(grid, numbers * outputs, pixels)
    return (product, Part(_by_order("patch", block), numbers, pixels)), numbers


def vq_linear_parts(grid: str, rows: int, columns: int, outputs: int, block: int) -> Parts:
    """Our product, and the rotation before it, which is a node of its own in a file."""
    product = Part(grid, rows * columns * outputs, rows)
    return (product, Part(_by_order("rotate", block), rows * columns)), rows * columns


def _vq_gather(node: Node, output: Value, around: Surroundings) -> Parts:
    return (Part(_by_order("rotate", _packed(node, around).block), output.elements),), 0


def _hadamard(node: Node, output: Value, around: Surroundings) -> Parts:
    return (Part(_by_order("rotate", node.attributes["block"]), output.elements),), 0


def _by_order(kind: str, block: int) -> str:
    return kind if block & (block - 1) == 0 else f"{kind}-odd"


_SPECIAL: dict[str, Callable[[Node, Value, Surroundings], Parts]] = {
    **dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "BatchMatMul"), _product),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4"), _low_bit),
    **dict.fromkeys(("Conv", "DepthwiseConv"), _convolution),
    "ConvTranspose": _up_convolution,
    "FullyConnected": _fully_connected,
    "smalti.VQMatMul": _vq_matmul,
    "smalti.VQConv": _vq_conv,
    "smalti.VQGather": _vq_gather,
    "smalti.HadamardTransform": _hadamard,
}
