"""Every operator on emulated ARM CPUs, bit for bit what it computes here: `make test-arm64`.

Four ways: a program that GCC has compiled; the wheel's library, by zig, alone, in ONNX Runtime and
in LiteRT, in an arm64 Python. Then a small model by the runtime's Session, in both engines.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from arm64_system import rows, system, write_data
from calls import ARM64_LEVELS
from emulated import Machine, by_operator
from rich.console import Console
from rich.table import Table
from root_fs import MissingToolError

CPUS = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1", "a64fx")
CPUS += tuple(f"max,sve-default-vector-length={n}" for n in (16, 32, 64))
ARM64 = Machine("aarch64", "aarch64-linux-gnu", CPUS, ARM64_LEVELS)
PACKED = ("VQMatMul", "VQConv")  # where levels differ
# Engines pick other kernels of their own on another CPU, and a rotated activation within 1e-7 of
# a tie may round either way; a weight decoded wrong gives 1e-2.
TOLERANCE = 1e-3

Cells = dict[tuple[str, str], str]  # by row and CPU


def by_gcc(folder: Path) -> Cells:
    """One program with the library in it; no Python."""
    note("compiling by GCC")
    program = ARM64.by_gcc(folder)
    cells = {}
    for cpu in CPUS:
        note(f"GCC, {cpu}")
        for op, cases, same in by_operator(ARM64.command(cpu, program)):
            cells[op, cpu] = cell(cases, same)
        for level, command in ARM64.on_levels(cpu, program):
            for op, cases, same in by_operator(command, PACKED):
                cells[f"{op}, {level}", cpu] = cell(cases, same)
    return cells


def by_wheel(data: Path) -> Mapping[str, Cells]:
    """The wheel's library by what runs it, and the errors of the small model's outputs."""
    ways = {"wheel": ("onnx", "library"), "ONNX Runtime": ("onnx", "onnx")}
    ways["LiteRT"] = ("tflite", "tflite")
    write_data(data)
    systems = {engine: system(engine, data) for engine in ("onnx", "tflite")}
    tables: dict[str, Cells] = {name: {} for name in (*ways, "Session")}
    for cpu in CPUS:
        for name, (engine, what) in ways.items():
            note(f"{name}, {cpu}")
            for row in rows(systems[engine], cpu, what):
                tables[name][row["row"], cpu] = cell(row["cases"], row["same"])
        for engine, root in systems.items():
            (row,) = rows(root, cpu, "session", engine)
            bad = "" if row["error"] <= TOLERANCE else " WRONG"
            tables["Session"][row["row"], cpu] = f"{row['error']:.0e}{bad}"
    return tables


def cell(cases: int, same: int) -> str:
    return f"{cases}" if same == cases else f"{cases - same} of {cases} WRONG"


def note(text: str) -> None:
    print(text, file=sys.stderr)


def show(title: str, cells: Cells) -> None:
    table = Table("", *(cpu.replace("sve-default-vector-length=", "sve ") for cpu in CPUS))
    table.title, table.columns[0].no_wrap = title, True
    for row in sorted({row for row, _ in cells}):
        table.add_row(row, *(cells.get((row, cpu), "-") for cpu in CPUS))
    Console(width=130).print(table)


def main() -> int:
    """Print the matrices; 1 if a bit is different."""
    try:
        with TemporaryDirectory() as built, TemporaryDirectory() as data:
            Path(data).chmod(0o755)  # nobody reads it
            tables = {"GCC": by_gcc(Path(built)), **by_wheel(Path(data))}
    except (MissingToolError, FileNotFoundError) as error:
        note(f"error: {error}")
        return 4
    for name, cells in tables.items():
        what = "error of a small model's outputs" if name == "Session" else "cases with equal bits"
        show(f"{name}: {what}, emulated", cells)
    return int(any("WRONG" in text for cells in tables.values() for text in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
