"""Two hundred random lives of interpreters: under AddressSanitizer, and without a leak."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lifecycles import ROWS
from oracle import all_cases
from sanitized import build_library, environment, sanitizer_or_skip
from tflite_nodes import FED, add_case, empty_model, numbers, rotate, rotations, written

from smalti.runtime import native

PROGRAM = Path(__file__).with_name("lifecycles.py")
COUNT = 200
# Noise is 10 bytes a life. Our smallest thing, a shape, takes 48, several times a life.
LEAK = COUNT // 2 * 50


def write_case(folder: Path, op: str, label: str) -> dict[str, np.ndarray]:
    """A file of the operator's first case; its input and what it has to give."""
    case = next(case for name, case in all_cases() if name == op)
    model = empty_model()
    add_case(model, op, case, "n")
    written(model, folder / f"{label}.tflite")
    if label == "matmul":
        model.graph.operators[0].customOptions = np.frombuffer(b"garbage!", np.uint8)
        written(model, folder / "garbled.tflite")
        model.root.operatorCodes[0].customCode = "smalti.Nope"
        written(model, folder / "unknown.tflite")
    (name,) = set(FED) & set(case.inputs)
    wanted = native.run_op(op, case.inputs, case.attributes)
    return {f"n.{name}": case.inputs[name], f"n.{name}.wanted": wanted}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lives")
    rotations(folder / "rotations.tflite", 1, 2)
    arrays = write_case(folder, "VQMatMul", "matmul") | write_case(folder, "VQGather", "gather")
    for rows in ROWS:
        arrays[f"x.{rows}"] = numbers(rows, 64)
        arrays[f"x.{rows}.wanted"] = rotate(rotate(numbers(rows, 64), 1), 2)
    np.savez(folder / "arrays.npz", **arrays)
    return folder


def live(
    library: Path, folder: Path, **options: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), str(library), str(folder), str(COUNT)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def test_no_address_is_misused(folder: Path, tmp_path: Path) -> None:
    sanitizer = sanitizer_or_skip("asan")
    library = build_library(tmp_path, "address")
    options = "detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=1"
    done = live(library, folder, env=environment(sanitizer, ASAN_OPTIONS=options))
    assert done.returncode == 0, done.stderr[-5000:]
    assert "AddressSanitizer" not in done.stderr


def test_nothing_is_left_behind(folder: Path) -> None:
    done = live(native.library_path(), folder)
    assert done.returncode == 0, done.stderr
    half_way, end = json.loads(done.stdout)
    assert half_way > 0
    assert end - half_way < LEAK
