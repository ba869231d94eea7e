"""Ways to use LiteRT's interpreter: signatures, bytes, several at once, in any order."""

import gc
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_nodes import delegate, numbers, opened, rotate, rotations, run

from smalti.runtime import native
from smalti.runtime.session import Session


def test_a_signature_runner(tmp_path: Path) -> None:
    runner = opened(rotations(tmp_path / "m.tflite", 1)).get_signature_runner()
    for rows in (2, 5, 2):  # it resizes on its own
        found = runner(x=numbers(rows, 64))
        assert list(found) == ["y"]
        assert np.array_equal(found["y"], rotate(numbers(rows, 64), 1))


def test_a_model_in_memory(tmp_path: Path) -> None:
    content = rotations(tmp_path / "m.tflite", 1).read_bytes()
    interpreter = Interpreter(model_content=content, experimental_delegates=[delegate()])
    interpreter.allocate_tensors()
    del content
    assert np.array_equal(run(interpreter, {"x": numbers(2, 64)})["y"], rotate(numbers(2, 64), 1))


def test_an_interpreter_made_again_from_the_same_file(tmp_path: Path) -> None:
    path = rotations(tmp_path / "m.tflite", 1, 2)
    before = native.kernels_created()
    for _ in range(3):
        found = run(opened(path), {"x": numbers(2, 64)})["y"]
        assert np.array_equal(found, rotate(rotate(numbers(2, 64), 1), 2))
    assert native.kernels_created() - before == 6


@pytest.mark.parametrize("order", permutations(range(3)))
def test_a_shared_delegate_and_deletion_in_any_order(tmp_path: Path, order: list[int]) -> None:
    shared, paths = delegate(), [rotations(tmp_path / f"{i}.tflite", i, i + 1) for i in range(2)]
    kept = {i: opened(path, delegates=[shared], num_threads=2) for i, path in enumerate(paths)}
    owners: dict[int, object] = {**kept, 2: shared}
    del shared
    for gone in order:
        del owners[gone]
        kept.pop(gone, None)
        gc.collect()
        for i, interpreter in kept.items():
            found = run(interpreter, {"x": numbers(2, 64)})["y"]
            assert np.array_equal(found, rotate(rotate(numbers(2, 64), i), i + 1))


@pytest.mark.parametrize("shares", [False, True])
def test_interpreters_in_several_threads_at_once(tmp_path: Path, shares: bool) -> None:
    path, shared = rotations(tmp_path / "m.tflite", 1, 2, rows=64, columns=512), delegate()

    def work(seed: int) -> bool:
        delegates = [shared] if shares else [delegate()]
        interpreter = opened(path, delegates=delegates, num_threads=3)
        rng, right = np.random.default_rng(seed), True
        for _ in range(20):
            x = rng.standard_normal((64, 512), np.float32)
            right &= np.array_equal(run(interpreter, {"x": x})["y"], rotate(rotate(x, 1), 2))
        return right

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [True] * 4


def test_a_session_in_several_threads_at_once(tmp_path: Path) -> None:
    session = Session(rotations(tmp_path / "m.tflite", 3), threads=2)

    def work(rows: int) -> bool:
        x = numbers(rows, 64)
        return all(np.array_equal(session.run(x)[0], rotate(x, 3)) for _ in range(20))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, [2] * 4)) == [True] * 4


def test_every_tensor_is_kept_on_demand(tmp_path: Path) -> None:
    path = rotations(tmp_path / "m.tflite", 1, 2, 3)
    interpreter = opened(
        path,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    run(interpreter, {"x": numbers(2, 64)})
    names = {d["name"]: d["index"] for d in interpreter.get_tensor_details()}
    wanted = numbers(2, 64)
    for name, seed in (("h0", 1), ("h1", 2), ("y", 3)):
        wanted = rotate(wanted, seed)
        assert np.array_equal(interpreter.get_tensor(names[name]), wanted), name
