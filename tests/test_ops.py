"""Every operator's implementations agree: Torch reference, every level, any number of threads."""

import pytest
from oracle import FOLDERS, all_cases, everywhere, exact, nmse, reference, tensors

from smalti.runtime import native
from smalti.runtime.ops.case import Case
from smalti.runtime.ops.torch_op import OPS

# Single precision leaves 4e-13 over these cases; one weight decoded wrong gives 1e-6 or more.
ROUNDING = 1e-11
# A rotated activation within 1e-7 of a tie may round either way: one step in one patch.
TIES = 1e-6

CASES = [pytest.param(op, case, id=f"{op}-{case.name}") for op, case in all_cases()]


@pytest.mark.parametrize(("op", "case"), CASES)
def test_implementations_agree(op: str, case: Case) -> None:
    wanted = exact(op, case)
    rotates_and_rounds = op == "VQConv" and case.attributes["int8"]
    bound = TIES if rotates_and_rounds else ROUNDING
    assert nmse(reference(op, case), wanted) <= bound
    (_, _, first), *others = everywhere(op, case)
    assert first.shape == wanted.shape
    assert nmse(first, wanted) <= bound
    assert nmse(first, reference(op, case)) <= bound
    for isa, threads, found in others:
        assert found.tobytes() == first.tobytes(), f"{isa}, {threads} threads"


@pytest.mark.parametrize("op", FOLDERS)
def test_python_declares_what_the_library_declares(op: str) -> None:
    kinds = {int: "int", bool: "int", float: "float"}
    declared, ours = native.signature(op), OPS[op]
    assert ours.inputs == list(declared.inputs)
    assert ours.optional_inputs == declared.optional_inputs
    assert {k: kinds.get(t, "ints") for k, t in ours.attributes.items()} == declared.attributes
    assert list(ours.attributes) == list(declared.attributes)


def test_every_operator_of_the_library_has_cases() -> None:
    assert sorted(native.ops()) == sorted(OPS) == sorted({p.values[0] for p in CASES})


@pytest.mark.parametrize("op", FOLDERS)
def test_torch_and_the_library_give_the_same_shapes(op: str) -> None:
    for case in (p.values[1] for p in CASES if p.values[0] == op):
        meta = {k: None if t is None else t.to("meta") for k, t in tensors(op, case).items()}
        found = native.run_op(op, case.inputs, case.attributes)
        assert OPS[op].call(**meta, **case.attributes).shape == found.shape, case.name
