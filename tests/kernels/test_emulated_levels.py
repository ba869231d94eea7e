"""Levels of x86 that this CPU may lack: an instruction in C++, or all by SIMDe; portable's bits."""

import platform
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from oracle import all_cases

from smalti.runtime import c_types, native
from smalti.runtime.ops.case import Case

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "runtime"
SIMDE = ("/usr/include/simde", "/usr/local/include/simde")
FLAGS = [
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wno-psabi",
    '-DSMALTI_VERSION="emulated"',
]
PACKED = ("VQMatMul", "VQConv")  # all else is another level's

Run = Callable[[str, Case, int], np.ndarray]


@dataclass(frozen=True)
class Level:
    """A level's name, which is that of the folder of its <immintrin.h>, and GCC's flags."""

    name: str
    flags: tuple[str, ...]

    def skip_if_missing(self) -> None:
        if platform.machine() not in ("x86_64", "AMD64"):
            pytest.skip(f"{self.name} is a level of x86 CPUs only")
        if not shutil.which("g++"):
            pytest.skip("g++ is missing: apt install g++")
        if self.name == "avx512" and not any(Path(p).is_dir() for p in SIMDE):
            pytest.skip("SIMDe's headers are missing: apt install libsimde-dev")
        if self.name == "avxvnni" and "avx2" not in native.isas():
            pytest.skip("this CPU lacks AVX2")


V3 = ("-mavx2", "-mbmi", "-mbmi2", "-mf16c", "-mfma", "-mlzcnt")
LEVELS = (
    Level("avxvnni", (*V3, "-D__AVXVNNI__")),
    Level("avx512", ("-D__AVX512VBMI__", "-D__AVX512VNNI__")),
)


def compile_all(level: Level, folder: Path) -> Path:
    """A library of one level, under every level's name, whose other operators are portable's."""
    every = ("portable", "avx2", "avxvnni", "avx512")
    aliases = [f"-D{name}={level.name}" for name in every if name != level.name]
    own = [f"-DSMALTI_LEVEL={level.name}", "-DSMALTI_OTHERS=portable", *level.flags]
    own.append(f"-I{HERE / level.name}")
    jobs = [(RUNTIME / "core" / "levels.cc", aliases), (RUNTIME / "core" / "table.cc", own)]
    jobs += [(RUNTIME / "core" / f"{name}.cc", []) for name in ("memory", "signs")]
    jobs += [(RUNTIME / "hosts" / f"{name}.cc", []) for name in ("c_api", "pool")]
    for path in RUNTIME.glob("ops/*/kernel.cc"):
        is_packed = path.parent.name in ("vq_matmul", "vq_conv")
        jobs.append((path, own if is_packed else ["-DSMALTI_LEVEL=portable", "-O0"]))

    def build(i: int) -> str:
        source, flags = jobs[i]
        target = str(folder / f"{i}.o")
        include = [f"-I{RUNTIME}", f"-I{RUNTIME / 'include'}"]
        command = ["g++", *FLAGS, *flags, *include, "-c", str(source), "-o", target]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, range(len(jobs))))
    library = folder / f"libsmalti-{level.name}.so"
    link = ["g++", "-shared", "-pthread", "-Wl,--no-undefined", *objects, "-o", str(library)]
    subprocess.run(link, check=True)
    return library


@pytest.fixture(scope="module", params=LEVELS, ids=lambda level: level.name)
def emulated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    level: Level = request.param
    level.skip_if_missing()
    path = compile_all(level, tmp_path_factory.mktemp(level.name))
    handle = c_types.load(str(path))

    def run(op: str, case: Case, threads: int) -> np.ndarray:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "_library", lambda: (path, handle))
            assert native.isa() == level.name
            return native.run_op(op, case.inputs, case.attributes, threads)

    return run


@pytest.mark.parametrize("op", PACKED)
def test_same_bits_as_portable(emulated: Run, op: str) -> None:
    different = []
    for name, case in all_cases():
        if name != op:
            continue
        with native.forced_isa("portable"):
            wanted = native.run_op(op, case.inputs, case.attributes)
        for threads in (1, 2):
            if emulated(op, case, threads).tobytes() != wanted.tobytes():
                different.append((case.name, threads))
    assert different == []
