"""What TensorFlow Lite asks of a delegate; each of these cost somebody a crash."""

import ctypes
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from oracle import all_cases
from tflite_nodes import (
    add_case,
    add_rotation,
    delegate,
    empty_model,
    numbers,
    opened,
    rotate,
    rotations,
    run,
    written,
)

from smalti.export.tflite_model import TFLiteModel

CODE = schema.BuiltinOperator
OURS = Path(__file__).parents[2] / "runtime" / "hosts" / "tflite_abi.h"
SCHEMA_TYPES = {"f32": 0, "f16": 1, "u8": 3, "i64": 4, "i8": 9}  # the engine's own are 1 10 3 4 9


def our_partitions(interpreter: Interpreter, outputs: list[int]) -> list[int]:
    """How many tensors come out of each delegate kernel that makes one of `outputs`."""
    kernels = [op for op in interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
    return [len(op["outputs"]) for op in kernels if set(op["outputs"]) & set(outputs)]


def test_dynamic_tensors_are_allowed(tmp_path: Path) -> None:
    model = empty_model()
    x, shape = model.tensor("x", [2, 64], "float32"), model.tensor("shape", [2], "int32")
    between = model.tensor("between", [2, 64], "float32")
    model.builtin(CODE.RESHAPE, [x, shape], [between])
    model.graph.inputs = [x, shape]
    model.graph.outputs = [add_rotation(model, between, "y", 3)]
    interpreter, given = opened(written(model, tmp_path / "m.tflite")), numbers(2, 64)
    for wanted in ((2, 64), (4, 32), (1, 128), (2, 64)):
        found = run(interpreter, {"x": given, "shape": np.array(wanted, np.int32)})["y"]
        assert np.array_equal(found, rotate(given.reshape(wanted), 3))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("  const IntArray *dims_signature;\n", ""),  # of a tensor
        ("void *unused[15];", "void *unused[16];"),  # of the context
        ("  void *async_kernel;\n", ""),  # of a registration
    ],
)
def test_sizes_are_asserted(tmp_path: Path, right: str, wrong: str) -> None:
    text = OURS.read_text()
    assert text.count(right) == 1
    for name, content in (("right.h", text), ("wrong.h", text.replace(right, wrong))):
        (tmp_path / name).write_text(content)
    compiler = ["g++", "-std=c++17", "-fsyntax-only", "-x", "c++"]
    assert subprocess.run([*compiler, tmp_path / "right.h"], capture_output=True).returncode == 0
    done = subprocess.run([*compiler, tmp_path / "wrong.h"], capture_output=True, text=True)
    assert "structures are laid out another way" in done.stderr


def test_tensors_far_on_in_the_array_are_found(tmp_path: Path) -> None:
    model = empty_model()
    for i in range(500):
        model.tensor(f"unused{i}", [i], "float32")
    x = model.tensor("x", [2, 64], "float32")
    model.graph.inputs, model.graph.outputs = [x], [add_rotation(model, x, "y", 1)]
    found = run(opened(written(model, tmp_path / "m.tflite")), {"x": numbers(2, 64)})["y"]
    assert np.array_equal(found, rotate(numbers(2, 64), 1))


@pytest.mark.parametrize("count", [2, 5])
def test_neighbours_are_partitions_of_their_own(tmp_path: Path, count: int) -> None:
    path = rotations(tmp_path / "m.tflite", *range(count))
    interpreter, wanted = opened(path), numbers(2, 64)
    for seed in range(count):
        wanted = rotate(wanted, seed)
    assert np.array_equal(run(interpreter, {"x": numbers(2, 64)})["y"], wanted)
    details = interpreter.get_tensor_details()
    made = [d["index"] for d in details if d["name"] in {"y", *(f"h{i}" for i in range(count))}]
    assert our_partitions(interpreter, made) == [1] * count


def test_a_diamond(tmp_path: Path) -> None:
    model = empty_model()
    x = model.tensor("x", [2, 64], "float32")
    top = add_rotation(model, x, "top", 1)
    sides = [add_rotation(model, top, f"side{seed}", seed) for seed in (2, 3)]
    total = model.tensor("sum", [2, 64], "float32")
    model.builtin(CODE.ADD, sides, [total], schema.AddOptionsT())
    model.graph.inputs, model.graph.outputs = [x], [add_rotation(model, total, "y", 4)]
    found = run(opened(written(model, tmp_path / "m.tflite")), {"x": numbers(2, 64)})["y"]
    head = rotate(numbers(2, 64), 1)
    assert np.array_equal(found, rotate(rotate(head, 2) + rotate(head, 3), 4))


def add_dense(model: TFLiteModel, source: int, name: str) -> int:
    weight = model.constant(f"{name}.weight", numbers(64, 64))
    output = model.tensor(name, [2, 64], "float32")
    options = schema.FullyConnectedOptionsT()
    model.builtin(CODE.FULLY_CONNECTED, [source, weight, -1], [output], options)
    return output


def test_between_the_engine_s_own_partitions(tmp_path: Path) -> None:
    model = empty_model()
    x = model.tensor("x", [2, 64], "float32")
    first = add_dense(model, x, "first")
    middle = add_rotation(model, first, "middle", 1)
    second = add_dense(model, middle, "second")
    last = add_rotation(model, second, "last", 2)
    model.graph.inputs, model.graph.outputs = [x], [first, middle, second, last]
    interpreter = opened(written(model, tmp_path / "m.tflite"))
    assert our_partitions(interpreter, [first, second]) == [1, 1]  # XNNPACK's
    found = run(interpreter, {"x": numbers(2, 64)})
    assert np.allclose(found["first"], numbers(2, 64) @ numbers(64, 64).T, atol=1e-4)
    assert np.array_equal(found["middle"], rotate(found["first"], 1))
    assert np.allclose(found["second"], found["middle"] @ numbers(64, 64).T, atol=1e-4)
    assert np.array_equal(found["last"], rotate(found["second"], 2))


def test_options_are_copied(tmp_path: Path) -> None:
    content = rotations(tmp_path / "m.tflite", 5).read_bytes()
    options = bytes(TFLiteModel.read(content).graph.operators[0].customOptions)
    interpreter = Interpreter(model_content=content, experimental_delegates=[delegate()])
    interpreter.allocate_tensors()
    start = ctypes.cast(ctypes.c_char_p(content), ctypes.c_void_p).value
    assert start is not None and content.count(options) == 2
    while (at := content.find(options)) >= 0:  # in the engine's own memory
        ctypes.memset(start + at, 0xFF, len(options))
    assert np.array_equal(run(interpreter, {"x": numbers(2, 64)})["y"], rotate(numbers(2, 64), 5))


def test_results_are_resized_with_inputs(tmp_path: Path) -> None:
    interpreter = opened(rotations(tmp_path / "m.tflite", 1, 2), num_threads=2)
    for rows in (1, 7, 3, 200, 0, 2):
        interpreter.resize_tensor_input(0, [rows, 64])
        interpreter.allocate_tensors()
        for _ in range(2):
            found = run(interpreter, {"x": numbers(rows, 64)})["y"]
            assert np.array_equal(found, rotate(rotate(numbers(rows, 64), 1), 2))


def test_constants_are_read_where_the_file_is_mapped(tmp_path: Path) -> None:
    model, case = empty_model(), next(case for op, case in all_cases() if op == "VQMatMul")
    add_case(model, "VQMatMul", case, "n")
    path = written(model, tmp_path / "m.tflite")
    interpreter = opened(path)
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [line[0].split("-") for line in lines if line[-1] == str(path)]
    for detail in interpreter.get_tensor_details():
        if detail["name"].removeprefix("n.") in ("codes", "scales", "grid"):
            at = interpreter.tensor(detail["index"])().ctypes.data
            assert at % 64 == 0
            assert any(int(low, 16) <= at < int(high, 16) for low, high in spans), detail["name"]


def gone_soon(tasks: set[str]) -> bool:
    """A thread that has been joined leaves the process a moment later."""
    deadline = time.monotonic() + 10
    while (left := tasks & set(os.listdir("/proc/self/task"))) and time.monotonic() < deadline:
        time.sleep(0.001)
    return not left


@pytest.mark.parametrize("threads", [None, 1, 2, 3])
def test_number_of_threads(tmp_path: Path, threads: int | None) -> None:
    path = rotations(tmp_path / "m.tflite", 1, rows=512, columns=1024)
    interpreter = opened(path, num_threads=threads)
    before, ours = set(os.listdir("/proc/self/task")), set()
    for _ in range(2):
        run(interpreter, {"x": numbers(512, 1024)})
        ours |= set(os.listdir("/proc/self/task")) - before
        assert len(ours) == (threads or 1) - 1
    del interpreter
    assert gone_soon(ours)


@pytest.mark.parametrize("kind", SCHEMA_TYPES)
def test_type_numbers_are_the_engine_s(tmp_path: Path, kind: str) -> None:
    model = TFLiteModel.read(rotations(tmp_path / "m.tflite", 1).read_bytes())
    model.graph.tensors[0].type = SCHEMA_TYPES[kind]
    if kind == "f32":
        opened(written(model, tmp_path / "other.tflite"))
    else:
        with pytest.raises(RuntimeError, match=rf"input 'x' is {kind} \(type \d+\); pass f32"):
            opened(written(model, tmp_path / "other.tflite"))
