"""Bundles a small model and runs the folder's run.sh from start to end, offline: `make test-bundle`.

On emulated arm64, and on this machine where that is x86-64; for both engines.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import small
from rich.console import Console
from rich.table import Table
from root_fs import MissingToolError, Root, base_root

from smalti.runtime import Session

ENGINES = ("onnx", "tflite")
TOLERANCE = 1e-3  # of the largest value: engines sum in another order on another CPU
Run = Callable[..., "subprocess.CompletedProcess[str]"]


class CheckError(Exception):
    """The bundle does not do what it should."""


def bundle(model: Path, device: str, out: Path) -> None:
    """Let this smalti write it; it says by itself what is wrong."""
    command = [sys.executable, "-m", "smalti.export", "bundle", str(model), "--device", device]
    subprocess.run([*command, "-o", str(out), "--json"], check=True, stdout=subprocess.DEVNULL)


def emulated(out: Path) -> Run:
    """Run commands as nobody in a read-only arm64 system, without network; `out` is /out."""
    env = {"HOME": "/", "TMPDIR": "/out", "PATH": "/usr/bin:/bin"}
    return Root(base_root(), env, out=out).run


def native(out: Path) -> Run:
    """Run commands on this machine, without network and without what this process has set."""
    env = {"HOME": str(out), "TMPDIR": str(out), "PATH": os.environ["PATH"]}

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        here = [part.replace("/out/", f"{out}/") for part in command]
        offline = ["unshare", "--net", *here]
        return subprocess.run(offline, env=env, capture_output=True, text=True, check=False)

    return run


def wanted(model: Path, inputs: Path) -> np.ndarray:
    """Write the model and its inputs; return what it gives here."""
    small.write(model)
    arrays = [tensor.numpy() for tensor in small.example()]
    for i, array in enumerate(arrays):
        np.save(inputs / f"{i}.npy", array)
    (found,) = Session(model).run(*arrays)
    return found


def check(engine: str, device: str, system: Callable[[Path], Run]) -> str:
    """What a bundle does there.

    Raises:
        CheckError: not what it should.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / f"a model's file.{engine}"
        y = wanted(model, folder)
        bundle(model, device, folder / "bundle")
        for path in (folder, folder / "bundle"):
            path.chmod(0o777)  # nobody writes there
        run = system(folder)
        all_of_it = started(run)
        inputs = [part for i in (0, 1) for part in ("--input", f"/out/{i}.npy")]
        started(run, "run", *inputs, "-o", "/out/found")
        started(run, "bench", "--seconds", "0.1")
        (file,) = (folder / "found").glob("*.npy")
        error = float(np.abs(np.load(file) - y).max() / np.abs(y).max())
        size = sum(p.stat().st_size for p in folder.glob("bundle/[!v]*/*")) / 1e6
    parts = ("self-test", "p50", "float32")
    if not error <= TOLERANCE or not all(part in all_of_it for part in parts):
        raise CheckError(f"error {error:.1e}; it printed\n{all_of_it}")
    return f"{size:.1f} MB; doctor, run and bench; outputs off by {error:.0e}"


def started(run: Run, *arguments: str) -> str:
    done = run("sh", "/out/bundle/run.sh", *arguments)
    if done.returncode:
        raise CheckError(f"run.sh {' '.join(arguments)}: {done.returncode}\n{done.stderr}")
    return done.stdout


def checks() -> Iterator[tuple[str, str, str]]:
    """Give device, engine and finding of each."""
    systems: dict[str, Callable[[Path], Run]] = {"rpi5": emulated}
    if platform.machine() == "x86_64":
        systems["laptop-x86"] = native
    for device, system in systems.items():
        for engine in ENGINES:
            print(f"{device}, {engine}", file=sys.stderr)
            yield device, engine, check(engine, device, system)


def main() -> int:
    """Print what was found; 1 if something is wrong."""
    table = Table("device", "engine", "found")
    try:
        for row in checks():
            table.add_row(*row)
    except MissingToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    except (CheckError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    Console(width=130).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
