"""Every operator on every case, in LiteRT with our delegate: bit for bit what the library gives."""

from pathlib import Path

import pytest
from oracle import FOLDERS, all_cases
from tflite_nodes import FED, add_case, empty_model, opened, run, written

from smalti.runtime import native
from smalti.runtime.ops.case import Case

A_FILE = 50  # nodes: an interpreter for each would cost more than the operators
THREADS = (1, 2)


def cases_of(op: str) -> dict[str, Case]:
    return {f"{i}": case for i, (name, case) in enumerate(all_cases()) if name == op}


def different(op: str, cases: dict[str, Case], path: Path, fed: tuple[str, ...]) -> list[str]:
    """Run cases as nodes of one file; which give other results than the library."""
    model = empty_model()
    for label, case in cases.items():
        add_case(model, op, case, label, fed)
    written(model, path)
    feed = {f"{k}.{name}": a for k, c in cases.items() for name, a in c.inputs.items()}
    wanted = {k: native.run_op(op, c.inputs, c.attributes) for k, c in cases.items()}
    wrong = []
    for threads in THREADS:
        found = run(opened(path, num_threads=threads), feed)
        for label, want in wanted.items():
            have = found[f"{label}.y"]
            if have.shape != want.shape or have.tobytes() != want.tobytes():
                wrong.append(f"{cases[label].name}, {threads} threads")
    return wrong


@pytest.mark.parametrize("op", FOLDERS)
def test_every_case_gives_the_library_s_bits(op: str, tmp_path: Path) -> None:
    cases, wrong = list(cases_of(op).items()), []
    for first in range(0, len(cases), A_FILE):
        part = dict(cases[first : first + A_FILE])
        wrong += different(op, part, tmp_path / f"{op}-{first}.tflite", FED)
    assert wrong == []


@pytest.mark.parametrize("op", FOLDERS)
def test_inputs_may_all_come_from_outside(op: str, tmp_path: Path) -> None:
    names = tuple(native.signature(op).inputs)
    cases = dict(list(cases_of(op).items())[::20])
    assert different(op, cases, tmp_path / f"{op}.tflite", names) == []
