"""The errors that docs/interpolation.md states are those of the kernels."""

import re
from pathlib import Path

import numpy as np
import pytest
from oracle import all_cases, exact

from smalti.runtime import native

PAGE = Path(__file__).parents[1] / "docs" / "interpolation.md"
ROW = re.compile(r"^\| (`.*?`) \|.*\| (\S+) \|$", re.M)
OPERATORS, _, _ = PAGE.read_text().partition("## Folds")
STATED = {
    op: float(error) for ops, error in ROW.findall(OPERATORS) for op in re.findall(r"\w+", ops)
}


def largest_error(op: str) -> float:
    """In units of the largest value, over all cases."""
    found = [0.0]
    for case in (case for name, case in all_cases() if name == op):
        wanted = exact(op, case)
        error = np.abs(native.run_op(op, case.inputs, case.attributes) - wanted.astype(np.float64))
        if np.isfinite(wanted).any():
            largest = np.abs(wanted[np.isfinite(wanted)]).max()
            found.append(float(np.nanmax(error, initial=0) / max(largest, 1e-30)))
    return max(found)


def test_every_operator_that_interpolates_states_an_error() -> None:
    assert {op for op in native.ops() if not op.startswith(("VQ", "Hadamard", "Binary"))} == set(
        STATED
    )


@pytest.mark.parametrize("op", STATED)
def test_the_stated_error_is_the_largest(op: str) -> None:
    measured = largest_error(op)
    assert measured <= STATED[op], measured
    assert measured >= STATED[op] / 4, "the page may promise more"
