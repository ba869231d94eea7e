"""Runs in turn."""

from functools import partial

from smalti.runtime.bench import time_interleaved


def test_every_round_has_all_in_an_order_of_its_own() -> None:
    calls: list[str] = []
    runs = {name: partial(calls.append, name) for name in "abcd"}
    timings = time_interleaved(runs, seconds=0, warm_up=0)
    rounds = [calls[i : i + 4] for i in range(0, len(calls), 4)]
    assert len(rounds) == 10
    assert all(sorted(one) == list("abcd") for one in rounds)
    assert len({tuple(one) for one in rounds}) > 3
    assert [t.name for t in timings] == list("abcd")


def test_timed_runs_come_after_others_of_their_kind() -> None:
    calls: list[str] = []
    runs = {name: partial(calls.append, name) for name in "ab"}
    time_interleaved(runs, seconds=0, warm_up=3, before=2)
    assert calls[:6] == list("aaabbb")
    assert [calls[i : i + 3] for i in range(6, 12, 3)] in (
        [list("aaa"), list("bbb")],
        [list("bbb"), list("aaa")],
    )
