"""Real headers of engines out of Debian's packages, by the apt that this machine has."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest


def headers_of(package: str, suite: str, folder: Path) -> Path:
    """Unpack a package of headers; the root of its files. Skips the test where it is not to be had."""
    for tool in ("apt-get", "dpkg", "g++"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    mirror, options = _source()
    (folder / "sources.list").write_text(f"deb {options} {mirror} {suite} main\n")
    (folder / "lists" / "partial").mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Update::Error-Mode": "any",
        "Acquire::Retries": "0",
    }
    apt = ["apt-get", *(f"-o{key}={value}" for key, value in settings.items())]
    (folder / "cache" / "archives" / "partial").mkdir(parents=True)
    _run_or_skip([*apt, "update"], folder, 90, package)
    _run_or_skip([*apt, "download", package], folder, 90, package)
    _run_or_skip(["dpkg", "-x", str(next(folder.glob("*.deb"))), "root"], folder, 30, package)
    return folder / "root"


def _source() -> tuple[str, str]:
    """The first Debian mirror and keyring that this machine's apt already uses."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in files:
        text = path.read_text() if path.suffix in (".list", ".sources") and path.is_file() else ""
        mirror = re.search(r"^(?:URIs:|deb\s(?:\[.*?\])?)\s*(\S+/debian/?)(?:\s|$)", text, re.M)
        if mirror:
            keyring = re.search(r"(?:Signed-By:\s*|signed-by=)(/[^\s\]]+)", text)
            return mirror[1], f"[signed-by={keyring[1]}]" if keyring else ""
    pytest.skip("this machine's apt knows no Debian mirror")


def _run_or_skip(command: list[str], folder: Path, timeout: int, package: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, timeout=timeout, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]} did not answer in {timeout} s")
    if done.returncode:
        pytest.skip(f"{command[0]} cannot get {package}: {done.stderr.strip()[-300:]}")


def compile_check(source: Path, headers: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Compile a file of static assertions; `flags` come before the folders of our own headers."""
    runtime = Path(__file__).parents[1] / "runtime"
    command = ["g++", "-std=c++17", "-fsyntax-only", *flags, f"-I{runtime}"]
    command += [f"-I{runtime / 'include'}", f"-isystem{headers}", str(source)]
    return subprocess.run(command, capture_output=True, text=True)
