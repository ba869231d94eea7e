"""The same library and the same files in tflite-runtime 2.14, which devices still have.

SMALTI_TFLITE_RUNTIME is a Python that has it, with a numpy below 2; it is skipped without.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from oracle import FOLDERS, all_cases
from tflite_nodes import FED, add_case, empty_model, written

from smalti.runtime import native

PYTHON = os.environ.get("SMALTI_TFLITE_RUNTIME", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="SMALTI_TFLITE_RUNTIME is not set")


def write_cases(folder: Path, op: str) -> None:
    """All cases of an operator as nodes of one file, with their inputs and results."""
    model, arrays = empty_model(), {}
    for i, case in enumerate(case for name, case in all_cases() if name == op):
        add_case(model, op, case, f"{i}")
        arrays |= {f"{i}.{name}": a for name, a in case.inputs.items() if name in FED}
        arrays[f"{i}.y.wanted"] = native.run_op(op, case.inputs, case.attributes)
    written(model, folder / f"{op}.tflite")
    np.savez(folder / f"{op}.npz", **arrays)


def test_every_case_gives_the_library_s_bits(tmp_path: Path) -> None:
    for op in FOLDERS:
        write_cases(tmp_path, op)
    program = Path(__file__).with_name("replay.py")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [PYTHON, str(program), str(native.library_path()), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{op} {n}" for op in sorted(FOLDERS) for n in (1, 2)]
