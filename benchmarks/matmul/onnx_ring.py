"""One operator several times in ONNX Runtime, each node with its own input and constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from benchmarks.subject import Run, session

_OPSET = 21

Step = tuple[str, str, Mapping[str, Any]]  # operator, domain, attributes


def ring(
    xs: Sequence[Any],
    steps: Sequence[Step],
    constants: Mapping[str, Any],
    threads: int,
) -> Run:
    """Return a run of `steps` for every x.

    The first step takes x, the next what it gave; constants are named `<step>.<input>`, in the
    order of the operator's inputs after the first.
    """
    nodes, stored, given = [], [], {}
    for i, x in enumerate(xs):
        given[f"x{i}"] = x
        last = f"x{i}"
        for number, (op, domain, attributes) in enumerate(steps):
            names = [name for name in constants if name.startswith(f"{number}.")]
            mine = [f"{name}.{i}" for name in names]
            for name, own in zip(names, mine, strict=True):
                stored.append(numpy_helper.from_array(np.asarray(constants[name]), own))
            out = f"y{i}" if number == len(steps) - 1 else f"h{i}.{number}"
            nodes.append(helper.make_node(op, [last, *mine], [out], domain=domain, **attributes))
            last = out
    return session(_model(nodes, stored, given), given, threads)


def _model(nodes: list[Any], stored: list[Any], given: Mapping[str, Any]) -> Any:
    inputs = [
        helper.make_tensor_value_info(k, TensorProto.FLOAT, x.shape) for k, x in given.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(f"y{i}") for i in range(len(given))]
    graph = helper.make_graph(nodes, "ring", inputs, outputs, stored)
    domains = {"": _OPSET, "smalti": 1, "com.microsoft": 1}
    imports = [helper.make_opsetid(*pair) for pair in domains.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)
