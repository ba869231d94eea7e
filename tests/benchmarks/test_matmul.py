"""The benchmark of products: engines compute what they are said to, goals are what the names say."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.matmul import __main__ as command
from benchmarks.matmul import ours
from benchmarks.matmul.goals import Goal, goals, met
from benchmarks.matmul.peers import onnxruntime
from benchmarks.matmul.task import RING_BYTES, Task

TINY = Task(32, 256, batch=3)


def test_a_ring_is_larger_than_caches() -> None:
    task = Task(4096, 4096, dram=True)
    assert task.copies(2.125) * 4096 * 4096 * 2.125 / 8 >= RING_BYTES
    assert Task(4096, 4096).copies(2.125) == 1
    assert len(task.inputs(32)) == task.copies(32) == 3


@pytest.mark.parametrize(("bits", "block"), [(2, 128), (4, 128), (8, 32)])
def test_onnxruntime_multiplies_by_the_codes(bits: int, block: int) -> None:
    run = onnxruntime._n_bits(TINY, 1, bits, block, bits)
    packed = np.random.default_rng(0).integers(0, 256, (32, 256 * bits // 8)).astype(np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (packed[:, :, None] >> shifts & (1 << bits) - 1).reshape(32, 256)
    weights = 0.01 * (codes.astype(np.float64) - (1 << bits - 1))
    wanted = TINY.inputs(bits)[0] @ weights.T
    assert np.abs(run().numpy() - wanted).max() < 0.02 * np.abs(wanted).max()


@pytest.mark.parametrize("candidate", list(ours.candidates(TINY, 1)), ids=lambda c: c.name)
def test_ours_is_not_nothing(candidate) -> None:
    found = candidate.build()().numpy()
    assert found.shape == (3, 32)
    assert np.isfinite(found).all()
    assert np.ptp(found) > 0


def test_a_goal_is_a_ratio_to_the_best_peer() -> None:
    goal = Goal("a", ("b", "c"), 1.5)
    assert goal.value({"a": 6.0, "b1": 3.0, "c": 4.0, "d": 9.0}) == 1.5
    assert goal.value({"a": 6.0}) is None


def test_memory_bounds_what_lies_there() -> None:
    found = {"smalti vq-2x16": 90.0, "smalti vq-2x64": 40.0}
    roofs = {"smalti vq-2x16": 100.0, "smalti vq-2x64": 80.0}
    rows = {r["name"]: r for r in met(Task(4096, 4096, dram=True), 1, found, roofs)}
    assert rows["1 x 4096 x 4096, DRAM: smalti vq-2x16 / memory"]["met"]
    assert rows["1 x 4096 x 4096, DRAM: smalti vq-2x64 / memory"]["value"] == 0.5
    assert not any(r["met"] for r in rows.values() if "ggml" in r["name"])


def test_every_task_has_goals() -> None:
    assert all(goals(task) for task in command.TASKS)


def test_it_prints_rows_and_goals(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(command, "TASKS", (Task(32, 256),))
    monkeypatch.setattr(command, "PEERS", ("onnxruntime",))
    monkeypatch.setattr(command, "bandwidth", lambda threads: 10.0)
    picture = tmp_path / "p.png"
    options = ["--seconds", "0", "--threads", "1", "--json", "--picture", str(picture)]
    found = CliRunner().invoke(command.main, options, catch_exceptions=False)
    told = json.loads(found.stdout)
    assert {"task", "threads", "name", "bits", "p50_ms", "gweights_s"} <= set(told["rows"][0])
    assert set(told["goals"][0]) == {"name", "threads", "value", "bar", "met"}
    assert picture.read_bytes().startswith(b"\x89PNG")
