"""Instructions for a weight in the loops of VQMatMul, read from their disassembly.

Run `python benchmarks/instructions.py` with a folder of a build by CMake: build/cmake/..., or
build/cross/arm64 after `make wheel-arm64`. Needs objdump, of Debian's binutils, for 64-bit ARM of
binutils-aarch64-linux-gnu. Instructions are counted, nothing is timed: what one costs differs from
core to core.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

LEVELS = ("avx2", "avxvnni", "avx512", "neon", "dotprod", "i8mm")
OBJECT = "CMakeFiles/level_{}.dir/runtime/ops/vq_matmul/kernel.cc.o"
# By weights and bits of a code.
FORMATS = {"2, 4": "vq-2x16", "4, 8": "vq-4x256", "2, 6": "vq-2x64", "1, 4": "vq-1x16"}
FORMATS["2, 8"] = "vq-2x256"
# Of each instruction: sadalp ends two smull, and vpmaddubsw goes with its vpmaddwd. By blocks, AVX2
# has vpmaddwd of sums, which stands for two products each.
PRODUCTS = {"sdot": 16, "sadalp": 16, "smmla": 32, "vpdpbusd": 32, "vpmaddubsw": 32}
BLOCK_PRODUCTS = {**PRODUCTS, "vpmaddwd": 32}
LOOKING_UP = {"vpshufb": 1, "vpinsrd": 1, "tbl": 1}
STRAIGHT = {"vpdpbusd": 32}  # of a block that meets codes without storing weights
JUMP = r"b(\.|$)|cbn?z|tbn?z|j"
STACK = r"q\d+,.*\[sp|[xyz]mm.*\(%[er][sb]p|\(%[er][sb]p.*[xyz]mm"
MANY = 8  # rows of activations


class Instruction(NamedTuple):
    """One line of the disassembly."""

    address: int
    name: str
    operands: str


Loop = list[Instruction]


def functions(path: Path, arm: bool) -> Iterator[tuple[str, Loop]]:
    """Names and instructions of an object's functions."""
    command = ["aarch64-linux-gnu-objdump" if arm else "objdump", "--disassemble", "--demangle"]
    command += ["--no-show-raw-insn", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = done.stdout.replace("{vex} ", "")
    for name, body in re.findall(r"^[0-9a-f]+ <(.*)>:\n((?:.+\n)*)", text, re.M):
        lines = re.findall(r"^\s*([0-9a-f]+):\s+(\S+)[ \t]*(.*)$", body, re.M)
        yield name, [Instruction(int(address, 16), *rest) for address, *rest in lines]


def innermost(code: Loop) -> list[Loop]:
    """Loops without loops in them: what lies between a jump back and its target."""
    spans = []
    for instruction in code:
        target = re.search(r"\b([0-9a-f]+) <", instruction.operands)
        back = target and int(target[1], 16) <= instruction.address
        if target and back and re.match(JUMP, instruction.name):
            spans.append((int(target[1], 16), instruction.address))
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[i for i in code if first <= i.address <= last] for first, last in inner]


def products(loop: Loop, of: dict[str, int]) -> int:
    return sum(of.get(i.name, 0) * (2 if "zmm" in i.operands else 1) for i in loop)


def spills(*loops: Loop) -> int:
    """Uses of vector registers' places on the stack."""
    return sum(bool(re.search(STACK, i.operands)) for loop in loops for i in loop)


class Kernel:
    """The functions of a level's VQMatMul."""

    def __init__(self, folder: Path, level: str) -> None:
        self._path = folder / OBJECT.format(level)
        self._functions = list(functions(self._path, arm="avx" not in level))

    def hot_loop(self, symbol: str, of: dict[str, int]) -> Loop:
        """The innermost loop with most `of` these, or the longest, of functions with such a name.

        Raises:
            LookupError: there is none.
        """
        matching = [code for name, code in self._functions if re.search(symbol, name)]
        found = [loop for code in matching for loop in innermost(code)]
        if not found:
            raise LookupError(f"{self._path}: no loop in a function like {symbol}")
        return max(found, key=lambda loop: (products(loop, of), len(loop)))

    def row(self, codes: str) -> tuple[str, str, str]:
        """Instructions for 32 weights of one row, of each of MANY, and spills.

        Raises:
            LookupError: a loop is missing.
        """
        one = self.hot_loop(rf"IntegerRows.*Decoder<{codes}>", PRODUCTS)
        first = 32 * len(one) / products(one, PRODUCTS)
        symbol = rf"IntegerBlocks.*Decoder<{codes}>"
        straight = self.hot_loop(symbol, {**STRAIGHT, **LOOKING_UP})
        loops = [straight]
        if products(straight, STRAIGHT):
            each = len(straight) / products(straight, STRAIGHT)
        else:
            block = self.hot_loop(r"IntegerBlocks::meet_block", BLOCK_PRODUCTS)
            weights = products(one, PRODUCTS)  # decoded in a turn, as for one row
            each = len(straight) / weights / MANY + len(block) / products(block, BLOCK_PRODUCTS)
            loops.append(block)
        return f"{first:.1f}", f"{32 * each:.1f}", f"{spills(one, *loops)}"


def main() -> int:
    """Print the table."""
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} BUILD-FOLDER", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    table = Table("format", "level", "M = 1", f"M = {MANY}, a row", "spills")
    table.title = "instructions for 32 weights"
    try:
        kernels = {x: Kernel(folder, x) for x in LEVELS if (folder / OBJECT.format(x)).is_file()}
        for codes, form in FORMATS.items():
            for level, kernel in kernels.items():
                table.add_row(form, level, *kernel.row(codes))
    except (LookupError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
