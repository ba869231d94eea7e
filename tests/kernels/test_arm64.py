"""The library on 64-bit ARM, emulated: bit for bit what it computes here, on every level."""

import shutil
from pathlib import Path

import pytest
from calls import compile_program, differing
from oracle import FOLDERS, all_cases

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
CPUS = ("cortex-a53", "max")
DOTPROD = "-march=armv8.2-a+dotprod"
LEVELS = {
    "neon": ["-fno-schedule-insns"],
    "dotprod": ["-mtune=cortex-a76", DOTPROD],
    "i8mm": ["-mtune=cortex-a76", f"{DOTPROD}+i8mm"],
}
FORCED = (("neon", "cortex-a53"), ("dotprod", "cortex-a76"), ("i8mm", "max"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool, package in ((COMPILER, "g++-aarch64-linux-gnu"), (EMULATOR, "qemu-user-static")):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing: apt install {package}")
    command = [COMPILER, "-O2", "-fno-exceptions"]
    folder = tmp_path_factory.mktemp("arm64")
    return compile_program(command, [COMPILER, "-static"], folder, LEVELS)


def same_bits(program: Path, op: str, cpu: str, level: str, threads: int) -> bool:
    cases = [(name, case) for name, case in all_cases() if name == op]
    command = [EMULATOR, "-cpu", cpu, "-E", f"SMALTI_ISA={level}", str(program)]
    return differing(command, cases, threads) == []


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("op", FOLDERS)
def test_same_bits_as_here(program: Path, op: str, cpu: str) -> None:
    assert same_bits(program, op, cpu, "portable", 1 + CPUS.index(cpu))


@pytest.mark.parametrize(("level", "cpu"), FORCED)
@pytest.mark.parametrize("op", ["VQMatMul", "VQConv"])
def test_levels_of_their_own(program: Path, op: str, level: str, cpu: str) -> None:
    assert same_bits(program, op, cpu, level, 2)
