"""The AVX-512 level on any x86 CPU: its intrinsics by SIMDe, its results bit for bit portable's."""

import platform
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from oracle import FOLDERS, all_cases

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
# The whole library is this one level: levels.cc lists it under every name.
LEVEL = ["-DSMALTI_LEVEL=avx512", "-D__AVX512VBMI__", "-D__AVX512VNNI__", "-Dportable=avx512"]

Run = Callable[[str, Case, int], np.ndarray]


def compile_all(folder: Path) -> Path:
    plain = [HERE / "emulated_levels.cc", RUNTIME / "core" / "memory.cc"]
    plain += [RUNTIME / "core" / "signs.cc", RUNTIME / "hosts" / "c_api.cc"]
    plain += [RUNTIME / "hosts" / "pool.cc"]
    sources = [*RUNTIME.glob("ops/*/kernel.cc"), RUNTIME / "core" / "table.cc", *plain]
    include = [f"-I{HERE / 'avx512_by_simde'}", f"-I{RUNTIME}", f"-I{RUNTIME / 'include'}"]

    def build(i: int) -> Path:
        target = folder / f"{i}.o"
        level = [] if sources[i] in plain[1:] else LEVEL
        command = ["g++", *FLAGS, *level, *include, "-c", str(sources[i]), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = [str(o) for o in pool.map(build, range(len(sources)))]
    library = folder / "libsmalti-avx512-emulated.so"
    link = ["g++", "-shared", "-pthread", "-Wl,--no-undefined", *objects, "-o", str(library)]
    subprocess.run(link, check=True)
    return library


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("AVX-512 is a level of x86 CPUs only")
    if not any(Path(p).is_dir() for p in SIMDE):
        pytest.skip("SIMDe's headers are missing: apt install libsimde-dev")
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt install g++")
    path = compile_all(tmp_path_factory.mktemp("avx512"))
    handle = c_types.load(str(path))

    def run(op: str, case: Case, threads: int) -> np.ndarray:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "_library", lambda: (path, handle))
            assert native.isa() == "avx512"
            return native.run_op(op, case.inputs, case.attributes, threads)

    return run


@pytest.mark.parametrize("op", FOLDERS)
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
