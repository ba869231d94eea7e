"""The library as WebAssembly, as `make wasm` has built it, in node."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "build" / "cross" / "wasm32" / "smalti.wasm"
INTERFACE = ROOT / "runtime" / "include" / "smalti.mjs"


class MissingError(RuntimeError):
    """Node or the module is not there."""


def node() -> str:
    if not shutil.which("node"):
        raise MissingError("node is missing: apt-get install nodejs, or https://nodejs.org")
    return "node"


def command() -> list[str]:
    """What `calls.differing` runs."""
    sources = [p for p in (ROOT / "runtime").rglob("*") if p.suffix in (".cc", ".h", ".inc")]
    if not MODULE.exists() or MODULE.stat().st_mtime < max(p.stat().st_mtime for p in sources):
        raise MissingError("smalti.wasm is missing or older than its sources: make wasm")
    return [node(), str(ROOT / "tests" / "wasm" / "run_calls.mjs"), str(MODULE)]
