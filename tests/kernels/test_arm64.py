"""The library on 64-bit ARM, emulated: bit for bit what it computes here."""

import ctypes
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from oracle import FOLDERS, all_cases

from smalti.runtime import native
from smalti.runtime.c_types import Attribute, Tensor
from smalti.runtime.ops.case import Case

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "runtime"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
CPUS = ("cortex-a53", "max")
FLAGS = ["-std=c++17", "-O2", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"]
LEVEL = ["-DSMALTI_LEVEL=portable", "-ffp-contract=off", "-fno-math-errno"]
NAME = '-DSMALTI_VERSION="arm64"'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool, package in ((COMPILER, "g++-aarch64-linux-gnu"), (EMULATOR, "qemu-user-static")):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing: apt install {package}")
    folder = tmp_path_factory.mktemp("arm64")
    core = [RUNTIME / "core" / f"{name}.cc" for name in ("levels", "memory", "signs", "table")]
    hosts = [RUNTIME / "hosts" / f"{name}.cc" for name in ("c_api", "pool")]
    sources = [*RUNTIME.glob("ops/*/kernel.cc"), *core, *hosts, HERE / "run_calls.cc"]
    include = [f"-I{RUNTIME}", f"-I{RUNTIME / 'include'}"]

    def build(i: int) -> str:
        target = str(folder / f"{i}.o")
        command = [COMPILER, *FLAGS, *LEVEL, NAME, *include, "-c", str(sources[i]), "-o", target]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, range(len(sources))))
    link = [COMPILER, "-static", "-pthread", *objects, "-o", str(folder / "run_calls")]
    subprocess.run(link, check=True)
    return folder / "run_calls"


def sized(data: bytes) -> bytes:
    return bytes(ctypes.c_int64(len(data))) + data


def counted(items: list[bytes]) -> bytes:
    return b"".join([bytes(ctypes.c_int32(len(items))), *items])


def written(op: str, case: Case) -> bytes:
    """A call as run_calls.cc reads it."""
    declared = native.signature(op)
    arrays = [case.inputs.get(name) for name in declared.inputs]
    arrays = [None if a is None else np.ascontiguousarray(a).reshape(a.shape) for a in arrays]
    tensors = [bytes(Tensor.of(a)) + (b"" if a is None else sized(a.tobytes())) for a in arrays]
    attributes = [
        bytes(Attribute.of(k, declared.attributes[k], v)) + sized(k.encode())
        for k, v in case.attributes.items()
    ]
    return sized(op.encode()) + counted(tensors) + counted(attributes)


def emulated(program: Path, cpu: str, threads: int, calls: list[bytes]) -> bytes:
    done = subprocess.run(
        [EMULATOR, "-cpu", cpu, str(program)],
        input=bytes(ctypes.c_int32(threads)) + counted(calls),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("op", FOLDERS)
def test_same_bits_as_here(program: Path, op: str, cpu: str) -> None:
    cases = [case for name, case in all_cases() if name == op]
    wanted = [native.run_op(op, c.inputs, c.attributes) for c in cases]
    found = emulated(program, cpu, 1 + CPUS.index(cpu), [written(op, c) for c in cases])
    assert len(found) == sum(y.nbytes for y in wanted)
    different, at = [], 0
    for case, y in zip(cases, wanted, strict=True):
        if found[at : at + y.nbytes] != y.tobytes():
            different.append(case.name)
        at += y.nbytes
    assert different == []
