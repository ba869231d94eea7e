"""Machines whose programs qemu runs here, and how many cases of the operators are right there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from calls import compile_program, differing
from oracle import FOLDERS, all_cases
from root_fs import need


@dataclass(frozen=True)
class Machine:
    """Its names for qemu and for Debian's compiler, and the CPUs that it is."""

    qemu: str
    triple: str
    cpus: tuple[str, ...]

    def by_gcc(self, folder: Path) -> Path:
        """One program with the library in it.

        Raises:
            MissingToolError: qemu or the compiler, which brings the C library, are missing.
        """
        gcc = f"{self.triple}-g++"
        need(f"qemu-{self.qemu}-static", "qemu-user-static")
        need(gcc, f"g++-{self.triple}")
        return compile_program([gcc, "-O2", "-fno-exceptions"], [gcc, "-static"], folder)

    def command(self, cpu: str, program: Path) -> list[str]:
        system = f"/usr/{self.triple}"
        return [f"qemu-{self.qemu}-static", "-L", system, "-cpu", cpu, str(program)]


def by_operator(command: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Give every operator, the number of its cases, and of those with this machine's bits."""
    for op in FOLDERS:
        calls = [(name, case) for name, case in all_cases() if name == op]
        yield op, len(calls), len(calls) - len(differing(command, calls, threads=2))
