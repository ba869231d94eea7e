"""Makes the wheel and the C archive of one target and checks them: python3 packages.py arm64."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MOST_BYTES = 1_000_000
LIBC = {"libc.so.6", "libpthread.so.0"}  # one library since glibc 2.34


@dataclass(frozen=True)
class Target:
    """A kind of machine: zig's name with the oldest glibc, and the tag of its wheels."""

    zig: str
    platform: str


# The oldest tag that pip knows for a CPU bounds the C library from below.
TARGETS = {
    "arm64": Target("aarch64-linux-gnu.2.28", "manylinux_2_28_aarch64"),
    "armv7": Target("arm-linux-gnueabihf.2.28", "manylinux_2_28_armv7l"),
    "riscv64": Target("riscv64-linux-gnu.2.31", "manylinux_2_31_riscv64"),
    "x86-64": Target("x86_64-linux-gnu.2.28", "manylinux_2_28_x86_64"),
}


def search_path() -> str:
    """A PATH on which the toolchain file's python3 is the one that runs this."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def build_wheel(name: str) -> Path:
    """Cross-compile the library and pack it; the wheel lies in dist/.

    Raises:
        subprocess.CalledProcessError: a tool failed; it has said why.
    """
    target = TARGETS[name]
    options = {
        "cmake.toolchain-file": str(HERE / "zig.cmake"),
        "cmake.define.ZIG_TARGET": target.zig,
        "cmake.define.CMAKE_INSTALL_LIBDIR": "lib",
        "build-dir": f"build/cross/{name}",
        # The linker has stripped it; the host's strip knows no other machine.
        "install.strip": "false",
        "wheel.reproducible": "true",
    }
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "."]
    command += ["--no-build-isolation", "--no-deps", "--wheel-dir", "dist"]
    command += [f"-C{key}={value}" for key, value in options.items()]
    environment = {"PATH": search_path(), "_PYTHON_HOST_PLATFORM": target.platform}
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | environment)
    return max(ROOT.glob(f"dist/*-py3-none-{target.platform}.whl"), key=os.path.getmtime)


def build_archive(name: str, stem: str) -> Path:
    """Pack what `cmake --install` gives, from the build in build/cross/<name>, into dist/.

    Raises:
        subprocess.CalledProcessError: cmake failed; it has said why.
    """
    prefix = ROOT / "build" / "cross" / stem
    shutil.rmtree(prefix, ignore_errors=True)
    command = ["cmake", "--install", f"build/cross/{name}", "--prefix", str(prefix)]
    path = {"PATH": search_path()}
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | path, stdout=subprocess.DEVNULL)
    archive = ROOT / "dist" / f"{stem}.tar.gz"
    archive.parent.mkdir(exist_ok=True)
    beside = archive.with_suffix(".part")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as packed:
        packed.add(prefix, stem, filter=nobodys)
    beside.write_bytes(gzip.compress(tar.getvalue(), mtime=0))
    return beside.rename(archive)


def nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Strip an archive's member of when and by whom it was made, so that builds are the same."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def audit(wheel: Path) -> dict[str, Any]:
    """What auditwheel finds in a wheel: its lowest tag, libraries and versioned symbols.

    Raises:
        subprocess.CalledProcessError: auditwheel cannot read the wheel; it has said why.
    """
    command = [sys.executable, "-m", "auditwheel", "show", "--json", str(wheel)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    report: dict[str, Any] = json.loads(found.stdout)
    return report


def oldest_glibc(tag: str) -> tuple[int, ...]:
    """(2, 28) of manylinux_2_28_aarch64; a tag that names no glibc fits none, so (999,)."""
    named = re.match(r"manylinux_(\d+)_(\d+)_", tag)
    return tuple(map(int, named.groups())) if named else (999,)


def highest(symbols: Iterable[str]) -> str:
    """The last of GLIBC_2.9, GLIBC_2.17, ... by its number."""
    return max(symbols, key=lambda name: [int(n) for n in re.findall(r"\d+", name)], default="none")


def faults(name: str, wheel: Path, report: dict[str, Any]) -> list[str]:
    """Why a wheel must not leave this folder; empty when it may."""
    platform, tag = TARGETS[name].platform, str(report.get("overall_tag", report.get("error")))
    found = []
    if oldest_glibc(tag) > oldest_glibc(platform) or tag[-4:] != platform[-4:]:
        found.append(f"its tag says {platform}, its library says {tag}")
    if others := set(report.get("versioned_symbols", ())) - LIBC:
        found.append(f"the library needs {', '.join(sorted(others))} beside libc")
    if wheel.stat().st_size >= MOST_BYTES:
        found.append(f"{wheel.stat().st_size} bytes are not under {MOST_BYTES}")
    return found


def main() -> int:
    """Build, check and report the wheel that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
        print(f"usage: {sys.argv[0]} {{{','.join(TARGETS)}}}", file=sys.stderr)
        return 2
    name = sys.argv[1]
    wheel = build_wheel(name)
    report = audit(wheel)
    if problems := faults(name, wheel, report):
        wheel.unlink()
        print(f"{wheel.name} is removed:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    with ZipFile(wheel) as packed:
        library = packed.getinfo("smalti/runtime/libsmalti.so").file_size
    symbols = highest(s for each in report["versioned_symbols"].values() for s in each)
    print(f"libsmalti.so of {name}: {library} bytes, needs {symbols}")
    stem = f"{wheel.name.split('-py3-')[0]}-{name}"
    for made in (wheel, build_archive(name, stem)):
        print(f"{made.relative_to(ROOT)}: {made.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
