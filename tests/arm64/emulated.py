"""Machines whose programs qemu runs here, and how many cases of the operators are right there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calls import compile_program, differing, run_calls
from oracle import FOLDERS, all_cases
from root_fs import need


@dataclass(frozen=True)
class Machine:
    """Its names for qemu and for Debian's compiler, the CPUs that it is, and its levels."""

    qemu: str
    triple: str
    cpus: tuple[str, ...]
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def by_gcc(self, folder: Path) -> Path:
        """One program with the library in it.

        Raises:
            MissingToolError: qemu or the compiler, which brings the C library, are missing.
        """
        gcc = f"{self.triple}-g++"
        need(f"qemu-{self.qemu}-static", "qemu-user-static")
        need(gcc, f"g++-{self.triple}")
        command = [gcc, "-O2", "-fno-exceptions"]
        return compile_program(command, [gcc, "-static"], folder, self.levels)

    def command(self, cpu: str, program: Path) -> list[str]:
        system = f"/usr/{self.triple}"
        return [f"qemu-{self.qemu}-static", "-L", system, "-cpu", cpu, str(program)]

    def on_levels(self, cpu: str, program: Path) -> Iterator[tuple[str, list[str]]]:
        """Give every level that the CPU has, and a command that forces it."""
        for level in ("portable", *self.levels):
            command = ["env", f"SMALTI_ISA={level}", *self.command(cpu, program)]
            if not run_calls(command, [], threads=1).stderr:
                yield level, command


def by_operator(
    command: Sequence[str], ops: Iterable[str] = FOLDERS
) -> Iterator[tuple[str, int, int]]:
    """Give every operator, the number of its cases, and of those with this machine's bits."""
    for op in ops:
        calls = [(name, case) for name, case in all_cases() if name == op]
        yield op, len(calls), len(calls) - len(differing(command, calls, threads=2))
