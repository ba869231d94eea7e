"""A program that runs operators on any machine: run_calls.cc with the library in it."""

import struct
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from smalti.runtime import native
from smalti.runtime.c_types import Attribute, Tensor, Value
from smalti.runtime.ops.case import Case

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "runtime"
FLAGS = ["-std=c++17", "-fno-rtti", "-fno-threadsafe-statics", "-ffp-contract=off"]
PORTABLE = ["-DSMALTI_LEVEL=portable"]
COMMON = ['-DSMALTI_VERSION="portable"', "-fno-math-errno", "-Wno-psabi"]
NAMES = (
    "avx2",
    "avxvnni",
    "avx512",
    "neon",
    "dotprod",
    "i8mm",
)  # of levels, which levels.cc looks for
# Levels of 64-bit ARM beside portable by GCC's flags, as CMakeLists.txt has them.
ARM64_LEVELS = {
    "neon": ["-fno-schedule-insns"],
    "dotprod": ["-mtune=cortex-a76", "-march=armv8.2-a+dotprod"],
    "i8mm": ["-mtune=cortex-a76", "-march=armv8.2-a+dotprod+i8mm"],
}
NEON_SOURCES = ("ops/vq_conv/kernel.cc", "ops/vq_matmul/kernel.cc", "core/table.cc")


def compile_program(
    compiler: Sequence[str],
    link: Sequence[str],
    folder: Path,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """The portable level under every name; `compiler` and `link` are commands with their flags.

    levels: those of 64-bit ARM that are compiled as they are, with the compiler's flags.
    """
    core = [RUNTIME / "core" / f"{name}.cc" for name in ("levels", "memory", "signs", "table")]
    hosts = [RUNTIME / "hosts" / f"{name}.cc" for name in ("c_api", "pool")]
    shared = [*sorted(RUNTIME.glob("ops/*/kernel.cc")), *core, *hosts, HERE / "run_calls.cc"]
    own = levels or {}
    aliases = [f"-D{name}=portable" for name in NAMES if name not in own]
    sources = [(path, PORTABLE) for path in shared]
    for name, flags in own.items():
        given = [f"-DSMALTI_LEVEL={name}", "-DSMALTI_OTHERS=portable", "-DSMALTI_NEON", *flags]
        sources += [(RUNTIME / path, given) for path in NEON_SOURCES]
    include = [f"-I{RUNTIME}", f"-I{RUNTIME / 'include'}"]

    def build(i: int) -> str:
        target = str(folder / f"{i}.o")
        path, level = sources[i]
        given = [*FLAGS, *COMMON, *level, *include, "-c", str(path), "-o", target]
        given += aliases if path.stem == "levels" else []
        done = subprocess.run([*compiler, *given], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, range(len(sources))))
    program = folder / "run_calls"
    done = subprocess.run([*link, "-pthread", *objects, "-o", str(program)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return program


def _sized(data: bytes) -> bytes:
    return struct.pack("<q", len(data)) + data


def _counted(items: Sequence[bytes]) -> bytes:
    return struct.pack("<i", len(items)) + b"".join(items)


def _tensor(array: np.ndarray | None) -> bytes:
    t = Tensor.of(array)
    data = struct.pack("<q", -1) if array is None else _sized(array.tobytes())
    return struct.pack("<ii8q", t.type, t.rank, *t.dims) + data


def _attribute(name: str, kind: str, value: Value) -> bytes:
    a = Attribute.of(name, kind, value)
    return struct.pack("<qfi8q", a.i, a.f, a.ints_count, *a.ints) + _sized(name.encode())


def _written(op: str, case: Case) -> bytes:
    declared = native.signature(op)
    given = [case.inputs.get(name) for name in declared.inputs]
    tensors = [_tensor(None if a is None else np.asarray(a, order="C")) for a in given]
    kinds = declared.attributes
    attributes = [_attribute(k, kinds[k], v) for k, v in case.attributes.items()]
    return _sized(op.encode()) + _counted(tensors) + _counted(attributes)


def run_calls(
    command: Sequence[str], calls: Sequence[tuple[str, Case]], threads: int
) -> subprocess.CompletedProcess[bytes]:
    """Run the program; stdout has the results one after the other."""
    given = struct.pack("<i", threads) + _counted([_written(op, c) for op, c in calls])
    return subprocess.run(command, input=given, capture_output=True)


def differing(command: Sequence[str], calls: Sequence[tuple[str, Case]], threads: int) -> list[str]:
    """Names of the cases that do not give, bit for bit, what the library gives here."""
    done = run_calls(command, calls, threads)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    different, at = [], 0
    for op, case in calls:
        wanted = native.run_op(op, case.inputs, case.attributes).tobytes()
        if done.stdout[at : at + len(wanted)] != wanted:
            different.append(case.name)
        at += len(wanted)
    assert len(done.stdout) == at
    return different
