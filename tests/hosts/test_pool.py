"""The pool of threads that engines do not lend us: callers at once, forks, under ThreadSanitizer."""

import shutil
import subprocess
from pathlib import Path

import pytest
from sanitized import RUNTIME, sanitizer_or_skip

SOURCES = [Path(__file__).with_name("pool_stress.cc"), RUNTIME / "hosts" / "pool.cc"]


def stress(folder: Path, mode: str, *flags: str) -> subprocess.CompletedProcess[str]:
    program = folder / "stress"
    command = ["g++", "-std=c++17", "-O1", *flags, f"-I{RUNTIME}", *map(str, SOURCES)]
    subprocess.run([*command, "-pthread", "-o", str(program)], check=True)
    return subprocess.run([program, mode], capture_output=True, text=True, timeout=100)


def test_callers_at_once(tmp_path: Path) -> None:
    sanitizer_or_skip("tsan")
    done = stress(tmp_path, "callers", "-g1", "-fsanitize=thread")
    assert (done.returncode, done.stderr) == (0, "")


def test_children_go_on_with_the_pool_they_inherit(tmp_path: Path) -> None:
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt install g++")
    done = stress(tmp_path, "fork")
    assert (done.returncode, done.stderr) == (0, "")
