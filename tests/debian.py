"""Debian's copy of ONNX Runtime's C header, which its Python packages lack."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SUITE = "trixie"
PACKAGE = "libonnxruntime-dev"


def debian_source() -> tuple[str, str]:
    """The first Debian mirror and keyring that this machine's apt already uses."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for path in files:
        text = path.read_text() if path.suffix in (".list", ".sources") and path.is_file() else ""
        mirror = re.search(r"^(?:URIs:|deb\s(?:\[.*?\])?)\s*(\S+/debian/?)(?:\s|$)", text, re.M)
        if mirror:
            keyring = re.search(r"(?:Signed-By:\s*|signed-by=)(/[^\s\]]+)", text)
            return mirror[1], f"[signed-by={keyring[1]}]" if keyring else ""
    pytest.skip("this machine's apt knows no Debian mirror")


def run_or_skip(command: list[str], folder: Path, timeout: int) -> None:
    try:
        done = subprocess.run(command, cwd=folder, timeout=timeout, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]} did not answer in {timeout} s")
    if done.returncode:
        pytest.skip(f"{command[0]} cannot get {PACKAGE}: {done.stderr.strip()[-300:]}")


def onnxruntime_headers(folder: Path) -> Path:
    """The folder of the header, unpacked below an empty one; nothing is installed."""
    for tool in ("apt-get", "dpkg"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    mirror, options = debian_source()
    (folder / "sources.list").write_text(f"deb {options} {mirror} {SUITE} main\n")
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
    run_or_skip([*apt, "update"], folder, 90)
    run_or_skip([*apt, "download", PACKAGE], folder, 90)
    run_or_skip(["dpkg", "-x", str(next(folder.glob("*.deb"))), "root"], folder, 30)
    return next((folder / "root").rglob("onnxruntime_c_api.h")).parent
