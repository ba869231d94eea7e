"""Instructions for a weight in the loops of VQMatMul on 64-bit ARM, read from their disassembly.

Run `python benchmarks/arm_instructions.py build/cross/arm64` after `make wheel-arm64`, or with the
folder of another build by CMake. Needs Debian's binutils-aarch64-linux-gnu. Instructions are
counted, nothing is timed: what one costs differs from core to core.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

LEVELS = ("neon", "dotprod", "i8mm")
OBJECT = "CMakeFiles/level_{}.dir/runtime/ops/vq_matmul/kernel.cc.o"
# By weights and bits of a code: the format, and how many weights one turn of its loop decodes.
FORMATS = {
    "2, 4": ("vq-2x16", 256),
    "4, 8": ("vq-4x256", 256),
    "2, 6": ("vq-2x64", 512),
    "1, 4": ("vq-1x16", 128),
    "2, 8": ("vq-2x256", 128),
}
OCTET = 128  # weights that one turn of the loop over blocks of activations meets
PRODUCTS = {"sdot": 16, "sadalp": 16, "smmla": 32}  # of each instruction; sadalp ends two smull
MANY = 8  # rows of activations


class Instruction(NamedTuple):
    """One line of the disassembly."""

    address: int
    name: str
    operands: str


Loop = list[Instruction]


def functions(path: Path) -> Iterator[tuple[str, Loop]]:
    """Names and instructions of an object's functions."""
    command = ["aarch64-linux-gnu-objdump", "--disassemble", "--demangle", "--no-show-raw-insn"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    for name, body in re.findall(r"^[0-9a-f]+ <(.*)>:\n((?:.+\n)*)", done.stdout, re.M):
        lines = re.findall(r"^\s*([0-9a-f]+):\s+(\S+)[ \t]*(.*)$", body, re.M)
        yield name, [Instruction(int(address, 16), *rest) for address, *rest in lines]


def innermost(code: Loop) -> list[Loop]:
    """Loops without loops in them: what lies between a jump back and its target."""
    spans = []
    for instruction in code:
        target = re.search(r"\b([0-9a-f]+) <", instruction.operands)
        back = target and int(target[1], 16) <= instruction.address
        if target and back and re.match(r"b(\.|$)|cbn?z|tbn?z", instruction.name):
            spans.append((int(target[1], 16), instruction.address))
    inner = [s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[i for i in code if first <= i.address <= last] for first, last in inner]


def hot_loop(path: Path, symbol: str) -> Loop:
    """Of the functions whose name matches, the innermost loop of most products, else the longest.

    Raises:
        LookupError: there is none.
    """
    matching = [code for name, code in functions(path) if re.search(symbol, name)]
    found = [loop for code in matching for loop in innermost(code)]
    if not found:
        raise LookupError(f"{path}: no loop in a function like {symbol}")
    return max(found, key=lambda loop: (products(loop), len(loop)))


def products(loop: Loop) -> int:
    return sum(PRODUCTS.get(instruction.name, 0) for instruction in loop)


def spills(*loops: Loop) -> int:
    """Loads and stores of vector registers on the stack."""
    return sum(bool(re.match(r"q\d+,.*\[sp", i.operands)) for loop in loops for i in loop)


def row(path: Path, level: str, codes: str) -> tuple[str, ...]:
    """A row of the table.

    Raises:
        LookupError: a loop is missing, or is not the one that it should be.
    """
    form, weights = FORMATS[codes]
    one = hot_loop(path, rf"IntegerRows.*Decoder<{codes}>")
    decoding = hot_loop(path, rf"IntegerBlocks.*Decoder<{codes}>")
    block = hot_loop(path, r"IntegerBlocks::meet_block")
    if products(one) != weights or products(block) == 0:
        raise LookupError(f"{path}: {form} has a loop of {products(one)} products, not {weights}")
    each = len(decoding) / weights / MANY + len(block) / products(block)
    count = f"{32 * len(one) / weights:.1f}"
    return form, level, count, f"{32 * each:.1f}", f"{spills(one, decoding, block)}"


def main() -> int:
    """Print the table."""
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} BUILD-FOLDER", file=sys.stderr)
        return 2
    table = Table("format", "level", "M = 1", f"M = {MANY}, a row", "spills")
    table.title = "instructions for 32 weights"
    try:
        for codes in FORMATS:
            for level in LEVELS:
                table.add_row(*row(Path(sys.argv[1]) / OBJECT.format(level), level, codes))
    except (LookupError, OSError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
