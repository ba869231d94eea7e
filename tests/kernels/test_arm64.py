"""The library on 64-bit ARM, emulated: bit for bit what it computes here, on every level."""

import shutil
from pathlib import Path

import pytest
from calls import ARM64_LEVELS, compile_program, differing, run_calls
from oracle import FOLDERS, all_cases

pytestmark = pytest.mark.timeout(900)  # of which most compiles
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
CPUS = ("cortex-a53", "max")
FORCED = (("neon", "cortex-a53"), ("dotprod", "cortex-a76"), ("i8mm", "max"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool, package in ((COMPILER, "g++-aarch64-linux-gnu"), (EMULATOR, "qemu-user-static")):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing: apt install {package}")
    command = [COMPILER, "-O1", "-fno-exceptions"]
    folder = tmp_path_factory.mktemp("arm64")
    return compile_program(command, [COMPILER, "-static"], folder, ARM64_LEVELS)


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


@pytest.mark.parametrize(("cpu", "best"), [("cortex-a53", "neon"), ("cortex-a76", "dotprod")])
def test_a_level_that_the_cpu_lacks(program: Path, cpu: str, best: str) -> None:
    command = [EMULATOR, "-cpu", cpu, "-E", "SMALTI_ISA=i8mm", str(program)]
    said = run_calls(command, [], threads=1).stderr.decode()
    assert said == f"smalti: SMALTI_ISA=i8mm is not a level of this CPU; using {best}\n"
