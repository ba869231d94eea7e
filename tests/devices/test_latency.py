"""The model of time and memory, on numbers that a person can check."""

from pathlib import Path

import numpy as np
import pytest

from smalti.devices.graph import Graph, Node, Value, open_graph
from smalti.devices.latency import predict
from smalti.devices.memory import memory
from smalti.devices.onnx_graph import _evaluated
from smalti.devices.onnx_writer import Model
from smalti.devices.probe import probes
from smalti.devices.profile import Cores, Device, Measured, Rate
from smalti.devices.speeds import speeds
from smalti.devices.work import works


def device(cache_mb=None, **rates):
    """One core that does 10^9 of everything a second, reads 1 GB/s, and has no other cost."""
    known = {"float": 1.0, "move": 1.0, **rates}
    lines = tuple(Rate(kind=kind, rows=1, one=r, all=r) for kind, r in known.items())
    measured = Measured(
        bandwidth_one=1.0, bandwidth_all=1.0, node_us=1e-9, run_us=1e-9, rates=lines
    )
    return Device(
        name="round", title="", isa=(), engine="onnx", cache_mb=cache_mb,
        cores=(Cores(name="c", count=1),), measured=measured,
    )  # fmt: skip


def product(tmp_path, rows=1, size=1000):
    model = Model((rows, size))
    model.add("MatMul", "x", model.store("w", np.zeros((size, size), np.float32)))
    path = tmp_path / "product.onnx"
    path.write_bytes(model.to_bytes())
    return open_graph(path)


def by_hand(nodes, values, constants=()):
    return Graph(
        Path("x"), nodes, values, {name: memoryview(b"....") for name in constants}, ("c",), 0
    )


def test_a_product_waits_for_memory_or_for_arithmetic(tmp_path):
    graph = product(tmp_path)  # 10^6 multiply-adds, 4 MB
    assert predict(graph, device(cache_mb=5)).ms == pytest.approx(1, rel=1e-5)
    assert predict(graph, device(cache_mb=3)).ms == pytest.approx(4, rel=1e-5)
    (line,) = predict(graph, device(cache_mb=3)).layers
    assert (line.limit, line.bytes, line.macs, line.rows) == ("memory", 4_000_000, 10**6, 1)
    slow = device(cache_mb=3, float=0.1)
    assert predict(graph, slow).ms == pytest.approx(10, rel=1e-5)
    assert predict(graph, slow).layers[0].limit == "arithmetic"


def test_rates_rise_with_the_logarithm_of_rows():
    lines = (
        Rate(kind="float", rows=1, one=1.0, all=1.0),
        Rate(kind="float", rows=64, one=7.0, all=7.0),
    )
    measured = Measured(bandwidth_one=1.0, bandwidth_all=1.0, node_us=1.0, run_us=1.0, rates=lines)
    found = speeds(
        Device(name="x", title="", isa=(), engine="onnx", cores=(Cores(name="c", count=1),),
               measured=measured)
    )  # fmt: skip
    rates = [10 / found.seconds("float", 10 * 10**9, rows) for rows in (0, 1, 2, 8, 64, 999)]
    assert rates == pytest.approx([1, 1, 2, 4, 7, 7])


def test_tensors_live_from_maker_to_last_reader():
    values = {name: Value((n,), 32) for name, n in (("x", 10), ("a", 100), ("b", 1000), ("c", 1))}
    nodes = [
        Node("Relu", ("x",), ("a",), {}),
        Node("Relu", ("a",), ("b",), {}),
        Node("Add", ("b", "x"), ("c",), {}),
    ]
    graph = by_hand(nodes, values)
    assert memory(graph, list(works(graph))).activations == 4 * (10 + 100 + 1000)


def test_what_is_folded_costs_memory_and_no_time():
    values = {"w": Value((4,), 8), "f": Value((100,), 32), "x": Value((100,), 32)}
    values["c"] = values["x"]
    nodes = [Node("Cast", ("w",), ("f",), {}), Node("Add", ("x", "f"), ("c",), {})]
    graph = by_hand(nodes, values, constants=["w"])
    todo = list(works(graph))
    assert [work.node.op for work in todo] == ["Add"]
    assert todo[0].weights == 400
    assert memory(graph, todo).weights == 4 + 400


def test_free_dimensions_may_be_formulas():
    sizes = {"batch": 3, "sequence": 5}
    assert _evaluated("2*batch + sequence//2 - 1", sizes) == 7
    assert _evaluated("batch", sizes) == 3
    assert _evaluated("unheard_of", sizes) == 1
    for refused in ("?", "f(batch)", "batch//0", "a" * 3 + "(", "__import__('os')"):
        assert _evaluated(refused, sizes) is None


def test_probes_do_the_work_that_they_claim(tmp_path):
    for probe in probes():
        path = tmp_path / "probe.onnx"
        path.write_bytes(probe.model.to_bytes())
        graph = open_graph(path)
        # No shapes but the input's stand in a probe: only kinds and nodes can be compared.
        kinds = {part.kind for work in works(graph) for part in work.parts}
        assert probe.kind in kinds, probe.kind
        assert len(graph.nodes) == probe.nodes, probe.kind
