import hashlib

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from smalti.export import export_onnx
from smalti.export.verify import relative_error
from smalti.quant.block import block_lookup, nearest_block, pack_block
from smalti.quant.block_layers import replacement, why_not
from smalti.runtime import CheckError, Session
from smalti.runtime.format import BLOCK_FORMATS, BlockFormat, parse_format

ALL = pytest.mark.parametrize("form", BLOCK_FORMATS, ids=str)
NAMES = ("int8-g128", "int4-g32", "int2-g64", "nf4", "mxfp4", "nvfp4")
KINDS = pytest.mark.parametrize("form", [parse_format(name) for name in NAMES], ids=str)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(65, 144)
        self.conv = nn.Conv2d(1, 32, 3, padding=1)  # too narrow for some
        self.deep = nn.Conv2d(32, 17, 3, stride=2)
        self.hidden = nn.Linear(17 * 71, 131)
        self.head = nn.Linear(131, 10, bias=False)

    def forward(self, tokens):
        x = torch.relu(self.conv(self.embed(tokens).unsqueeze(1)))
        x = torch.relu(self.deep(x)).mean(2)
        return self.head(torch.tanh(self.hidden(x.flatten(1))))


def in_blocks(module: nn.Module, form: BlockFormat, int8: bool) -> nn.Module:
    packed = {}
    for name, layer in list(module.named_children()):
        if not hasattr(layer, "weight") or why_not(layer, form):
            continue
        if id(layer.weight) not in packed:
            weight = layer.weight.detach().flatten(1)
            lookup = block_lookup(weight, form)
            codes = nearest_block(weight, lookup)
            packed[id(layer.weight)] = pack_block(codes, lookup, form, weight)
        setattr(module, name, replacement(layer, packed[id(layer.weight)], int8))
    return module.eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    made, folder = {}, tmp_path_factory.mktemp("blocks")

    def export(form: BlockFormat, int8: bool):
        if (form, int8) not in made:
            module, path = in_blocks(Net(), form, int8), folder / f"{form}-{int8}.onnx"
            dims = ({0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")},)
            export_onnx(module, (torch.arange(12).reshape(2, 6),), path, dynamic_shapes=dims)
            made[form, int8] = path, module
        return made[form, int8]

    return export


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 65, (5, 9), generator=torch.Generator().manual_seed(1))


def plain(path, *, optimize=True) -> onnxruntime.InferenceSession:
    """The engine alone, without our library."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(path, options)


@KINDS
@pytest.mark.parametrize(("int8", "limit"), [(False, 1e-4), (True, 1e-2)])
def test_the_engine_equals_torch(exported, tokens, form, int8, limit):
    path, module = exported(form, int8)
    with torch.no_grad():
        expected = module(tokens).numpy()
    arrays = {"tokens": tokens.numpy()}
    assert relative_error(Session(path, threads=1).run(**arrays)[0], expected) < limit
    assert relative_error(plain(path).run(None, arrays)[0], expected) < limit
    assert relative_error(plain(path, optimize=False).run(None, arrays)[0], expected) < limit


@KINDS
def test_the_file_keeps_packed_weights(exported, form):
    path, module = exported(form, True)
    layers = list(module.children())
    weights = [b for layer in layers for b in layer.buffers()]
    floats = [p for layer in layers for p in layer.parameters()]
    size = sum(t.nbytes for t in [*weights, *floats])
    assert size < path.stat().st_size < size + 16_000
    session = Session(path)
    assert session.artifact.native_nodes == 0
    assert session.artifact.damaged() == []


OPERATORS = {
    "int": {"MatMulNBits", "GatherBlockQuantized"},
    "nf4": {"MatMulBnb4"},
    "mxfp4": set(),
    "nvfp4": set(),
}


@KINDS
def test_the_engine_s_own_operators_are_used(exported, form):
    path, _ = exported(form, True)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    theirs = [node for node in model.graph.node if node.domain]
    assert {n.op_type for n in theirs} == OPERATORS["int" if form.is_integer else form.kind]
    assert {n.domain for n in theirs} <= {"com.microsoft"}
    levels = {a.i for n in theirs for a in n.attribute if a.name == "accuracy_level"}
    assert levels == ({4} if form.is_integer else set())


def test_float_activations_ask_for_float_kernels(exported):
    path, _ = exported(parse_format("int4-g32"), False)
    nodes = [n for n in onnx.load(path).graph.node if n.op_type == "MatMulNBits"]
    assert {a.i for n in nodes for a in n.attribute if a.name == "accuracy_level"} == {1}


def test_scales_are_constants_for_matmul_nbits(exported):
    """With computed scales and no graph optimization, ONNX Runtime 1.32 multiplies nonsense."""
    path, _ = exported(parse_format("int4-g32"), True)
    graph = onnx.load(path).graph
    constants = {t.name for t in graph.initializer}
    for node in (n for n in graph.node if n.op_type == "MatMulNBits"):
        assert {name for name in node.input[1:] if name} <= constants


class Odd(nn.Module):
    """A layer for every input, of shapes that fit no group and no tile."""

    def __init__(self, form: BlockFormat):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList()
        for rows, columns in ((1, 33), (7, 100), (33, 31), (40, 300)):
            layer = nn.Linear(columns, rows, bias=rows > 10)
            lookup = block_lookup(layer.weight, form)
            codes = nearest_block(layer.weight, lookup)
            weight = pack_block(codes, lookup, form, layer.weight)
            self.layers.append(replacement(layer, weight, int8=False))

    def forward(self, a, b, c, d):
        return tuple(layer(x) for layer, x in zip(self.layers, (a, b, c, d), strict=True))


@ALL
def test_odd_shapes_run(tmp_path, form):
    module, path = Odd(form), tmp_path / "m.onnx"
    dims = tuple({0: torch.export.Dim("batch")} for _ in module.layers)
    sizes = [layer.columns for layer in module.layers]
    export_onnx(module, tuple(torch.randn(2, n) for n in sizes), path, dynamic_shapes=dims)
    session = Session(path, threads=1)
    for batch in (1, 5, 0):
        inputs = [torch.randn(batch, n) for n in sizes]
        for y, z in zip(session.run(*(x.numpy() for x in inputs)), module(*inputs), strict=True):
            assert relative_error(y, z.detach().numpy()) < 1e-4


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Embedding(600, 96), nn.Linear(96, 600, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        return self.head(torch.tanh(self.embed(tokens)))


@pytest.mark.parametrize("form", ["int4-g32", "nf4", "mxfp4"])
def test_tied_weights_are_stored_once(tmp_path, form):
    module = in_blocks(Tied(), parse_format(form), True)
    export_onnx(module, (torch.arange(6),), tmp_path / "m.onnx")
    names = [t.name for t in onnx.load(tmp_path / "m.onnx").graph.initializer]
    names = [name for name in names if not name.startswith("smalti.")]  # tables
    assert sum(name.endswith(".codes") for name in names) == 1
    assert sum(name.endswith(".scales") for name in names) == 1


def test_tables_are_stored_once(tmp_path):
    module = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    export_onnx(
        in_blocks(module, parse_format("nvfp4"), True), (torch.randn(2, 64),), tmp_path / "m.onnx"
    )
    names = [t.name for t in onnx.load(tmp_path / "m.onnx").graph.initializer]
    assert sorted(n for n in names if n.startswith("smalti.")) == [
        "smalti.nvfp4.scales",
        "smalti.nvfp4.values",
    ]


def test_a_wrong_file_is_refused_by_the_tight_limit(tmp_path, monkeypatch):
    """A difference that rounding to int8 would hide does not pass."""
    from smalti.export import engine_nodes

    module = in_blocks(nn.Sequential(nn.Linear(256, 64)), parse_format("int4-g32"), True)
    right = engine_nodes._matmul_blocks

    def wrong(b, x, *weight):
        return b.op("Mul", right(b, x, *weight), b.op("Constant", value_float=1.01))

    monkeypatch.setitem(engine_nodes._LOWERINGS, "MatMulBlocks", wrong)
    with pytest.raises(CheckError, match="limit 0.0001"):
        export_onnx(module, (torch.randn(4, 256),), tmp_path / "m.onnx")
    assert module[0].int8


def test_the_same_model_gives_the_same_bytes(tmp_path):
    digests = set()
    for name in ("a", "b"):
        module = in_blocks(Net(), parse_format("int2-g32"), True)
        export_onnx(module, (torch.arange(12).reshape(2, 6),), tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_empty_batches_run(exported):
    for form in ("int4-g32", "mxfp4", "nf4"):
        path, _ = exported(parse_format(form), True)
        assert Session(path).run(np.zeros((0, 4), np.int64))[0].shape == (0, 10)
