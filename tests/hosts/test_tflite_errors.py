"""What the delegate says about files and inputs that are wrong, and that it works afterwards."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate
from oracle import all_cases
from tflite_nodes import (
    FED,
    add_case,
    empty_model,
    numbers,
    opened,
    rotate,
    rotations,
    run,
    written,
)

from smalti.export.tflite_model import ABSENT, TFLiteModel
from smalti.runtime import native
from smalti.runtime.ops.case import Case

Change = Callable[[TFLiteModel, Any], None]
UNKNOWN = "does not know how this engine lays out its structures, or the node lacks its attributes"


def first_case(op: str) -> Case:
    return next(case for name, case in all_cases() if name == op)


def changed(path: Path, op: str, change: Change) -> Interpreter:
    """A file of one node after a change to it."""
    model = empty_model()
    add_case(model, op, first_case(op), "n")
    change(model, model.graph.operators[0])
    return opened(written(model, path))


def rename(model: TFLiteModel, _: Any) -> None:
    model.root.operatorCodes[0].customCode = "smalti.Nope"


def drop_options(_: TFLiteModel, node: Any) -> None:
    node.customOptions = None


def garble_options(_: TFLiteModel, node: Any) -> None:
    node.customOptions = np.frombuffer(b"garbage!", np.uint8)


def cut_options(_: TFLiteModel, node: Any) -> None:
    node.customOptions = node.customOptions[:-1]


def drop_attribute(_: TFLiteModel, node: Any) -> None:
    options = bytes(node.customOptions).replace(b"step", b"stop")
    node.customOptions = np.frombuffer(options, np.uint8)


def drop_attributes_input(_: TFLiteModel, node: Any) -> None:
    del node.inputs[-1]


def blank_attributes_input(_: TFLiteModel, node: Any) -> None:
    node.inputs[-1] = ABSENT


def drop_all_inputs(_: TFLiteModel, node: Any) -> None:
    node.inputs = []


def compute_attributes(model: TFLiteModel, node: Any) -> None:
    model.graph.tensors[node.inputs[-1]].buffer = 0
    model.graph.inputs.append(node.inputs[-1])


def blank_codes(_: TFLiteModel, node: Any) -> None:
    node.inputs[1] = ABSENT


def add_inputs(_: TFLiteModel, node: Any) -> None:
    node.inputs = [*node.inputs[:-1], *node.inputs]


def drop_output(_: TFLiteModel, node: Any) -> None:
    node.outputs = []


def blank_output(model: TFLiteModel, node: Any) -> None:
    node.outputs, model.graph.outputs = [ABSENT], []


def add_output(model: TFLiteModel, node: Any) -> None:
    node.outputs.append(model.tensor("more", [1], "float32"))


def retype_input(model: TFLiteModel, node: Any) -> None:
    model.graph.tensors[node.inputs[0]].type = 2  # int32


def retype_output(model: TFLiteModel, node: Any) -> None:
    model.graph.tensors[node.outputs[0]].type = 9  # int8


def raise_rank(model: TFLiteModel, node: Any) -> None:
    model.graph.tensors[node.inputs[0]].shape = [1] * 9


BAD_FILES = [
    (rename, "no operator Nope; upgrade smalti. "),
    (drop_options, UNKNOWN),
    (garble_options, "its 8 bytes of options are no FlexBuffers map; export it again. "),
    (cut_options, "bytes of options are no FlexBuffers map; export it again. "),
    (drop_attribute, "tensor n.y: attribute 'step' is missing or not of kind float; set it. "),
    (drop_attributes_input, UNKNOWN),
    (blank_attributes_input, UNKNOWN),
    (drop_all_inputs, UNKNOWN),
    (compute_attributes, UNKNOWN),
    (blank_codes, "tensor n.y: input 'codes' is missing; pass a tensor of u8. "),
    (add_inputs, "tensor n.y: it has 10 inputs, the operator takes 5. "),
    (drop_output, UNKNOWN),
    (blank_output, UNKNOWN),
    (add_output, UNKNOWN),
    (retype_input, "input 'x' is a type that smalti does not have (type 0); pass f32. "),
    (retype_output, "tensor n.y: output 'y' has another type than f32. "),
    (raise_rank, "tensor n.y: input 'x' has rank 9; pass at most 8 dimensions. "),
]


@pytest.mark.parametrize(("change", "message"), BAD_FILES)
def test_bad_files(tmp_path: Path, change: Change, message: str) -> None:
    changed(tmp_path / "good.tflite", "VQMatMul", lambda *_: None)
    with pytest.raises(RuntimeError) as error:
        changed(tmp_path / "bad.tflite", "VQMatMul", change)
    assert message in str(error.value)
    assert "smalti" in str(error.value)


def test_a_bad_index_and_then_a_good_one(tmp_path: Path) -> None:
    case = first_case("VQGather")
    interpreter = changed(tmp_path / "m.tflite", "VQGather", lambda *_: None)
    feed = {f"n.{name}": case.inputs[name] for name in FED if name in case.inputs}
    wanted = native.run_op("VQGather", case.inputs, case.attributes)
    for index in (10**9, -1):
        wrong = {"n.indices": np.full_like(feed["n.indices"], index)}
        with pytest.raises(
            RuntimeError, match=rf"smalti.VQGather, tensor n.y: indices: {index} at"
        ):
            run(interpreter, wrong)
        assert np.array_equal(run(interpreter, feed)["n.y"], wanted)


def test_a_wrong_shape_and_then_a_good_one(tmp_path: Path) -> None:
    interpreter = opened(rotations(tmp_path / "m.tflite", 1))
    interpreter.resize_tensor_input(0, [2, 65])
    interpreter.allocate_tensors()
    with pytest.raises(RuntimeError, match=r"smalti.HadamardTransform, tensor y: .*65"):
        run(interpreter, {"x": numbers(2, 65)})
    interpreter.resize_tensor_input(0, [2, 64])
    interpreter.allocate_tensors()
    assert np.array_equal(run(interpreter, {"x": numbers(2, 64)})["y"], rotate(numbers(2, 64), 1))


def test_the_delegate_has_no_options() -> None:
    with pytest.raises(ValueError, match="smalti's delegate takes no options"):
        load_delegate(str(native.library_path()), {"threads": "2"})


def test_a_library_that_is_not_there(tmp_path: Path) -> None:
    path = rotations(tmp_path / "m.tflite", 1)
    code = "import sys; from smalti.export.cli import main; sys.exit(main())"
    nowhere = str(tmp_path / "nowhere.so")
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(path)],
        env=os.environ | {"SMALTI_LIBRARY": nowhere},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4
    message = " ".join(done.stderr.split())
    assert "no native library at" in message and "Exception ignored" not in message
