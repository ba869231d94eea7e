"""Numbers that no sound model has, under sanitizers: operators refuse them or live with them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calls import compile_program, run_calls
from oracle import FOLDERS, all_cases

from smalti.runtime.ops.case import Case

pytestmark = pytest.mark.timeout(900)  # of which most compiles

SANITIZERS = "-fsanitize=address,undefined"
ROUNDS = 6  # of changes to every case
FLOATS = np.float32([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0, 1e10, -1e10, 2**31])
INTEGERS = np.array([0, -1, 1, 2**31 - 1, -(2**31), 2**32, 2**62, -(2**63)], np.int64)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt install g++")
    command = ["g++", "-O0", "-g", SANITIZERS, "-fno-sanitize-recover=undefined"]
    return compile_program(command, command, tmp_path_factory.mktemp("sanitized"))


def changed(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace some of the elements, and any bits of what are not plain numbers."""
    found = np.array(array)  # of scalars, too
    some = rng.random(array.shape) < rng.choice([0.02, 0.3])
    if array.dtype.kind == "f":
        found[some] = rng.choice(FLOATS.astype(array.dtype), int(some.sum()))
    elif array.dtype == np.int64:
        near = rng.integers(-3, 40, array.shape)
        wild = rng.choice(INTEGERS, array.shape)
        found[some] = np.where(rng.random(array.shape) < 0.5, near, wild)[some]
    else:
        found[some] = rng.integers(0, 256, int(some.sum())).astype(np.uint8).view(array.dtype)
    return found


def spoiled(case: Case, rng: np.random.Generator) -> Case:
    which = rng.choice(list(case.inputs))
    return replace(case, inputs={**case.inputs, which: changed(case.inputs[which], rng)})


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("op", FOLDERS)
def test_no_number_leads_astray(program: Path, op: str) -> None:
    rng = np.random.default_rng(0)
    cases = [case for name, case in all_cases() if name == op]
    calls = [(op, spoiled(case, rng)) for case in cases for _ in range(ROUNDS)]
    done = run_calls([str(program)], calls, threads=2)
    assert done.returncode in (0, 1), done.stderr.decode()[-4000:]
    assert b"Sanitizer" not in done.stderr
    assert b"runtime error" not in done.stderr
