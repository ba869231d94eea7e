"""The arm64 system that tests run in, and what they compare there with this machine's results."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import small
from container import BUILD, install_site
from onnx import helper
from oracle import FOLDERS, all_cases
from root_fs import Root, base_root
from tflite_nodes import FED, add_case, empty_model, written

from smalti.runtime import Session, native
from smalti.runtime.ops.case import Case
from smalti.runtime.ops.torch_op import OPS

SEEN = {"/guest": Path(__file__).parent}
ENV = {"PYTHONPATH": "/site", "PYTHONDONTWRITEBYTECODE": "1", "ORT_DISABLE_TELEMETRY": "1"}


def system(engine: str, data: Path) -> Root:
    """Python with smalti's wheel and one engine, cross-installed, over the root file system."""
    site = BUILD / engine / "site"
    install_site(engine, site)
    return Root(base_root(), ENV, {**SEEN, "/site": site, "/data": data})


def rows(root: Root, cpu: str, *what: str) -> list[dict[str, Any]]:
    """What guest.py finds on a CPU; `what` is its command line.

    Raises:
        RuntimeError: it failed; the message is its own.
    """
    done = root.run("python3", "/guest/guest.py", *what, cpu=cpu)
    if done.returncode:
        raise RuntimeError(f"{' '.join(what)} on {cpu}: status {done.returncode}\n{done.stderr}")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def write_data(folder: Path) -> None:
    """All cases of all operators for the library and both engines, and the small model."""
    for op in FOLDERS:
        cases = [case for name, case in all_cases() if name == op]
        wanted = [native.run_op(op, case.inputs, case.attributes) for case in cases]
        calls = [(c.name, c.inputs, c.attributes, y) for c, y in zip(cases, wanted, strict=True)]
        (folder / f"{op}.pickle").write_bytes(pickle.dumps(calls))
        arrays = {f"{i}.y.wanted": y for i, y in enumerate(wanted)}
        for i, case in enumerate(cases):
            arrays |= {f"{i}.{name}": a for name, a in case.inputs.items() if name in FED}
        np.savez(folder / f"{op}.npz", **arrays)
        _write_tflite(op, cases, folder / f"{op}.tflite")
        _write_onnx(op, cases, folder / f"{op}.onnx")
    (folder / "models").mkdir()
    for suffix in ("onnx", "tflite"):
        _write_model(folder / "models" / f"small.{suffix}")


def _write_tflite(op: str, cases: list[Case], path: Path) -> None:
    model = empty_model()
    for i, case in enumerate(cases):
        add_case(model, op, case, f"{i}")
    written(model, path)


def _write_onnx(op: str, cases: list[Case], path: Path) -> None:
    graph = onnx.GraphProto(name=op)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(str(OPS[op].dtype).removeprefix("torch.")))
    for i, case in enumerate(cases):
        names = {k: f"{i}.{k}" if k in case.inputs else "" for k in native.signature(op).inputs}
        for k, array in case.inputs.items():
            tensor = onnx.numpy_helper.from_array(np.asarray(array, order="C"), names[k])
            if k in FED:
                port = helper.make_tensor_value_info(names[k], tensor.data_type, tensor.dims)
                graph.input.append(port)
            else:
                graph.initializer.append(tensor)
        node = helper.make_node(op, list(names.values()), [f"{i}.y"], domain="smalti")
        node.attribute.extend(_attributes(op, case))
        graph.node.append(node)
        graph.output.append(helper.make_tensor_value_info(f"{i}.y", element, None))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("smalti", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def _attributes(op: str, case: Case) -> list[onnx.AttributeProto]:
    kinds = {"int": int, "float": float, "ints": list}
    declared = native.signature(op).attributes
    return [helper.make_attribute(k, kinds[declared[k]](v)) for k, v in case.attributes.items()]


def _write_model(path: Path) -> None:
    small.write(path)
    inputs = [t.numpy() for t in small.example()]
    (wanted,) = Session(path).run(*inputs)
    arrays = {f"{i}": a for i, a in enumerate(inputs)}
    np.savez(path.with_suffix(".npz"), **arrays, **{"y.wanted": wanted})
