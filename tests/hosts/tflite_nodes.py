"""Nodes of our library in files for LiteRT, and interpreters that run them with our delegate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Delegate, Interpreter, load_delegate

from smalti.export.tflite_model import ABSENT, TFLiteModel
from smalti.runtime import native
from smalti.runtime.ops.case import Array, Case
from smalti.runtime.ops.torch_op import OPS

BLOCK = 32
FED = ("x", "indices")  # what a model computes or is given; the other inputs are its constants


def delegate() -> Delegate:
    return load_delegate(str(native.library_path()))


def add_case(model: TFLiteModel, op: str, case: Case, label: str, fed: Sequence[str] = FED) -> int:
    """Add a case's operator and its constants; inputs named in `fed` become the graph's.

    The file states a wrong shape for the result: the delegate has to find the right one.
    """
    inputs = []
    for name in native.signature(op).inputs:
        array = case.inputs.get(name)
        if array is None:
            inputs.append(ABSENT)
        elif name in fed:
            inputs.append(model.tensor(f"{label}.{name}", array.shape, array.dtype.name))
            model.graph.inputs.append(inputs[-1])
        else:
            inputs.append(model.constant(f"{label}.{name}", array))
    output = model.tensor(f"{label}.y", [1], str(OPS[op].dtype).removeprefix("torch."))
    model.smalti(op, inputs, output, case.attributes)
    model.graph.outputs.append(output)
    return output


def empty_model() -> TFLiteModel:
    model = TFLiteModel()
    model.graph.inputs, model.graph.outputs = [], []
    return model


def written(model: TFLiteModel, path: Path) -> Path:
    """Write a model with a signature whose names are those of its tensors."""
    tensors = model.graph.tensors
    ends = ({tensors[i].name: i for i in ids} for ids in (model.graph.inputs, model.graph.outputs))
    model.set_signature(*ends)
    path.write_bytes(model.to_bytes())
    return path


def opened(path: Path, *, delegates: Sequence[Delegate] = (), **options: Any) -> Interpreter:
    """An interpreter with its tensors allocated; without `delegates`, it has one of its own."""
    own = list(delegates) or [delegate()]
    interpreter = Interpreter(model_path=str(path), experimental_delegates=own, **options)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter: Interpreter, feed: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name for inputs by name."""
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], feed[detail["name"]])
    interpreter.invoke()
    details = interpreter.get_output_details()
    return {d["name"]: np.asarray(interpreter.get_tensor(d["index"])) for d in details}


def rotate(x: Array, seed: int) -> Array:
    """What `add_rotation` computes, by the library alone."""
    return native.run_op("HadamardTransform", {"x": x}, {"block": BLOCK, "seed": seed})


def add_rotation(model: TFLiteModel, source: int, name: str, seed: int) -> int:
    """Add the cheapest of our operators behind a tensor; the index of its result."""
    shape = model.graph.tensors[source].shape
    output = model.tensor(name, shape, "float32")
    model.smalti("HadamardTransform", [source], output, {"block": BLOCK, "seed": seed})
    return output


def rotations(path: Path, *seeds: int, rows: int = 2, columns: int = 2 * BLOCK) -> Path:
    """A file of rotations one behind the other: x -> y."""
    model = empty_model()
    model.graph.inputs = [model.tensor("x", [rows, columns], "float32")]
    last = model.graph.inputs[0]
    for i, seed in enumerate(seeds):
        last = add_rotation(model, last, "y" if i == len(seeds) - 1 else f"h{i}", seed)
    model.graph.outputs = [last]
    return written(model, path)


def numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)
