"""Every operator in the libraries of other machines than arm64: `make test-cross`.

Bit for bit what it computes here, two ways: a program that GCC has compiled with the library in it;
and one that zig links to the wheel's library, as a C program would be.
"""

import platform
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from calls import HERE
from emulated import Machine, by_operator
from packages import ROOT, TARGETS
from rich.console import Console
from rich.table import Table
from root_fs import MissingToolError

from smalti.runtime import native

EMULATED = {
    "armv7": Machine("arm", "arm-linux-gnueabihf", ("cortex-a7", "cortex-a9", "cortex-a15", "max")),
    "riscv64": Machine("riscv64", "riscv64-linux-gnu", ("rv64", "sifive-u54")),
}
ZIG = ["-m", "ziglang", "cc", "-std=c++17", "-O2", "-fno-exceptions", "-fno-rtti"]
BY_ZIG = "the wheel's (zig)"

Ways = Iterator[tuple[str, str, list[str]]]  # a library, a CPU or level, a command


def newest(pattern: str) -> Path:
    """The file in dist/.

    Raises:
        FileNotFoundError: there is none; `make wheel-<target>` makes them.
    """
    found = sorted(ROOT.glob(f"dist/{pattern}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"no dist/{pattern}; make wheel-<target>")
    return found[-1]


def linked(target: str, python: str, folder: Path) -> Path:
    """A program and, beside it, what the target's archive holds; python has ziglang."""
    archive = newest(f"smalti-[0-9]*-{target}.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    prefix = folder / archive.name.removesuffix(".tar.gz")
    with ZipFile(newest(f"*-{TARGETS[target].platform}.whl")) as wheel:
        packed_library = wheel.read("smalti/runtime/libsmalti.so")
    assert packed_library == (prefix / "lib" / "libsmalti.so").read_bytes()
    program = folder / "run_calls"
    command = [python, *ZIG, "-target", TARGETS[target].zig, str(HERE / "run_calls.cc")]
    command += [f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib", "-lsmalti"]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def emulated(machine: Machine, target: str, python: str, folder: Path) -> Ways:
    """On every CPU, both programs."""
    programs = {"GCC's": machine.by_gcc(folder), BY_ZIG: linked(target, python, folder / "zig")}
    for library, program in programs.items():
        for cpu in machine.cpus:
            yield library, cpu, machine.command(cpu, program)


def here(python: str, folder: Path) -> Ways:
    """On every level that this CPU has; what GCC makes of them is what all are compared with."""
    program = linked("x86-64", python, folder)
    for level in native.isas():
        yield BY_ZIG, f"this one, {level}", ["env", f"SMALTI_ISA={level}", str(program)]


def rows(python: str, folder: Path) -> Iterator[tuple[str, str, str, int, int]]:
    """Give target, library, CPU, and the numbers of cases and of equal ones."""
    ways = {t: emulated(m, t, python, folder / t) for t, m in EMULATED.items()}
    if platform.machine() == "x86_64":
        ways["x86-64"] = here(python, folder / "x86-64")
    for target, found in ways.items():
        (folder / target).mkdir()
        for library, cpu, command in found:
            print(f"{target}, {library}, {cpu}", file=sys.stderr)
            counts = [(cases, same) for _, cases, same in by_operator(command)]
            yield target, library, cpu, *map(sum, zip(*counts, strict=True))


def main() -> int:
    """Print the table; 1 if a bit is different."""
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} PYTHON-WITH-ZIGLANG", file=sys.stderr)
        return 2
    table, wrong = Table("target", "library", "CPU", "cases with equal bits"), 0
    try:
        with TemporaryDirectory() as folder:
            for *names, cases, same in rows(sys.argv[1], Path(folder)):
                table.add_row(*names, f"{same} of {cases}")
                wrong += cases - same
    except (MissingToolError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    Console(width=100).print(table)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
