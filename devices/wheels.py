"""Gathers the wheels that another machine needs, by this machine's pip."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, cast

from smalti.devices.targets import Target
from smalti.runtime.errors import MissingRuntimeError

if TYPE_CHECKING:
    from packaging.requirements import Requirement


LONGEST = 1200  # seconds for pip


@dataclass(frozen=True)
class Pip:
    """Which wheels pip takes: of a target, for its Python ("3.11").

    find_links: a folder to take them from; None for the package index.
    """

    target: Target
    python: str
    find_links: Path | None = None

    def download(self, wanted: Sequence[str], to: Path) -> None:
        """Put wheels and what they need into a folder.

        Raises:
            MissingRuntimeError: there are no such wheels, or no network; the message is pip's.
        """
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ]
        command += ["--dest", str(to), "--only-binary=:all:"]
        command += ["--implementation", "cp", "--python-version", self.python]
        command += [part for tag in self.target.platforms for part in ("--platform", tag)]
        if self.find_links is not None:
            command += ["--no-index", "--find-links", str(self.find_links)]
        try:
            subprocess.run(
                [*command, *wanted], capture_output=True, text=True, check=True, timeout=LONGEST
            )
        except subprocess.TimeoutExpired:
            raise MissingRuntimeError(f"pip found no end in {LONGEST} s; try again") from None
        except subprocess.CalledProcessError as error:
            raise MissingRuntimeError(
                f"no wheels for {self.target.machine}, Python {self.python}: {_said(error.stderr)}"
                "; name another --python, allow the network, or give --find-links a folder of them"
            ) from None

    def gather(self, wheel: Path, engine: str, to: Path) -> None:
        """Put a wheel of smalti, all it needs with an engine, and pip itself into a folder.

        pip evaluates conditions such as `python_version < "3.12"` for this machine. So what it
        left out is fetched after it, and what is not needed there is removed.

        Raises:
            MissingRuntimeError: there are no such wheels, or no network; the message is pip's.
        """
        self._check_python(wheel)
        wanted = [f"{wheel}[{engine}]", "pip"]
        needed: set[str] = set()
        while wanted:
            self.download(wanted, to)
            found = {normal_name(read_wheel(path)): path for path in to.glob("*.whl")}
            needed, wanted = self._closure(found, engine)
        for name, path in found.items():
            if name not in needed:
                path.unlink()

    def _check_python(self, wheel: Path) -> None:
        """Refuse what our wheel does not run on; pip would try all versions of everything."""
        from packaging.specifiers import SpecifierSet

        allowed = str(metadata(read_wheel(wheel))["Requires-Python"])
        if not re.fullmatch(r"\d+\.\d+", self.python) or self.python not in SpecifierSet(allowed):
            raise MissingRuntimeError(
                f"--python {self.python}: {wheel.name} is for Python {allowed}; write 3.11 or 3.13"
            )

    def _closure(self, found: dict[str, Path], engine: str) -> tuple[set[str], list[str]]:
        """Names of all that is needed there, and requirements of which there is no wheel yet."""
        needed, missing = {"pip"}, []
        todo: list[tuple[str, frozenset[str]]] = [("smalti", frozenset({engine}))]
        seen = set(todo)
        while todo:
            name, extras = todo.pop()
            needed.add(name)
            for need in self._needs(read_wheel(found[name]), extras):
                step = (_normal(need.name), frozenset(need.extras))
                if step[0] not in found:
                    missing.append(str(need).partition(";")[0])
                elif step not in seen:
                    seen.add(step)
                    todo.append(step)
        return needed, missing

    def _needs(self, wheel: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
        """Requirements whose conditions hold there."""
        from packaging.requirements import Requirement

        for need in map(Requirement, wheel.requires or ()):
            around = [self._environment() | {"extra": extra} for extra in extras or ("",)]
            if need.marker is None or any(need.marker.evaluate(where) for where in around):
                yield need

    def _environment(self) -> dict[str, str]:
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": self.target.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }


def _said(stderr: str) -> str:
    """pip's own words for why."""
    lines = [line.strip() for line in stderr.splitlines()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return "; ".join(errors) or stderr.strip()


def find_wheel(folder: Path, target: Target) -> Path:
    """Return the newest wheel of smalti for a target.

    Raises:
        MissingRuntimeError: there is none; the message says how to make it.
    """
    return _newest(folder, f"smalti-*-py3-none-manylinux_*_{target.machine}.whl", target)


def find_archive(folder: Path, target: Target) -> Path:
    """Return the newest archive for C programs for a target.

    Raises:
        MissingRuntimeError: there is none; the message says how to make it.
    """
    return _newest(folder, f"smalti-[0-9]*-{target.name}.tar.gz", target)


def _newest(folder: Path, pattern: str, target: Target) -> Path:
    found = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise MissingRuntimeError(
            f"{folder}/ has no {pattern}: make wheel-{target.name}, or name its folder by --wheels"
        )
    return found[-1]


def read_wheel(path: Path) -> Distribution:
    """Read a wheel's metadata without installing it.

    Raises:
        MissingRuntimeError: it is no wheel.
    """
    for found in distributions(path=[str(path)]):
        return found
    raise MissingRuntimeError(f"{path}: no wheel; remove it, or fetch it again")


def metadata(wheel: Distribution) -> Message:
    """The fields of a wheel's METADATA."""
    return cast(Message, wheel.metadata)


def normal_name(wheel: Distribution) -> str:
    """The package's name as the index writes it."""
    return _normal(str(metadata(wheel)["Name"]))


def _normal(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
