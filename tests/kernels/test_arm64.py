"""The library on 64-bit ARM, emulated: bit for bit what it computes here."""

import shutil
from pathlib import Path

import pytest
from calls import compile_program, differing
from oracle import FOLDERS, all_cases

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64-static"
CPUS = ("cortex-a53", "max")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool, package in ((COMPILER, "g++-aarch64-linux-gnu"), (EMULATOR, "qemu-user-static")):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing: apt install {package}")
    command = [COMPILER, "-O2", "-fno-exceptions"]
    return compile_program(command, [COMPILER, "-static"], tmp_path_factory.mktemp("arm64"))


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("op", FOLDERS)
def test_same_bits_as_here(program: Path, op: str, cpu: str) -> None:
    cases = [(name, case) for name, case in all_cases() if name == op]
    threads = 1 + CPUS.index(cpu)
    assert differing([EMULATOR, "-cpu", cpu, str(program)], cases, threads) == []
