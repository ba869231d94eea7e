"""Cross-builds the programs of examples/c by the commands of docs/arm.md: `make test-c-arm64`.

Runs them in the emulated arm64 system, on small models, beside what a session gives here.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import debian
import numpy as np
import pytest
import small
from rich.console import Console
from rich.table import Table
from root_fs import MissingToolError, Root, base_root, need
from torch import nn

from smalti.runtime import Session

ROOT = Path(__file__).parents[2]
APP = ROOT / "build" / "app"
PROGRAMS = {"run_onnx": "onnx", "run_tflite": "tflite", "run_tflite.pc": "tflite"}
WHEELS = {"onnx": "onnxruntime", "tflite": "ai_edge_litert"}
# By model: what is in its middle, its layers' activations, and how far an output may be off, of the
# largest value. Ours compute the same bits on every CPU, an engine's GELU need not. Rounding to int8
# could make a step of 1e-3 of a last bit, so that model keeps floats.
MODELS = {
    "our operators": (nn.Identity(), "int8", 0.0),
    "with GELU": (nn.GELU(), "float", 1e-6),
}


class CheckError(Exception):
    """A program cannot be built, or does not do what it should."""


def commands(page: str) -> str:
    """What the section tells to type on this machine: its first two blocks."""
    (section,) = re.findall(r"^## Apps in C\n(.*?)^## ", page, re.M | re.S)
    typed = re.findall(r"^```console\n(.*?)^```", section, re.M | re.S)[:2]
    return re.sub(r"^\$ ", "", "".join(typed), flags=re.M)


def headers(folder: Path) -> Path:
    """The folder of onnxruntime_c_api.h.

    Raises:
        MissingToolError: this machine's apt cannot get it.
    """
    try:
        root = debian.headers_of("libonnxruntime-dev", "trixie", folder)
    except pytest.skip.Exception as error:
        raise MissingToolError(f"onnxruntime_c_api.h: {error}") from None
    return next(root.rglob("onnxruntime_c_api.h")).parent


def build() -> None:
    """Fill the folder of the app.

    Raises:
        CheckError: a command failed; it has said why.
        MissingToolError: pkg-config or a header is missing.
    """
    need("pkg-config", "pkg-config")
    shutil.rmtree(APP, ignore_errors=True)
    with TemporaryDirectory() as folder:
        env = os.environ | {"ORT_INCLUDE": str(headers(Path(folder)))}
        typed = commands((ROOT / "docs" / "arm.md").read_text())
        command = ["sh", "-eux", "-c", typed]
        done = subprocess.run(command, env=env, cwd=ROOT, stdout=sys.stderr, check=False)
    if done.returncode:
        raise CheckError("a command of docs/arm.md failed; see above")


def version(engine: str) -> str:
    """Of the engine whose library the app has; as its wheel's name says it."""
    (wheel,) = (APP / "wheels").glob(f"{WHEELS[engine]}-*.whl")
    return wheel.name.split("-")[1]


def write(folder: Path) -> None:
    """The models and their inputs, as raw files."""
    for name, (middle, activations, _) in MODELS.items():
        for engine in WHEELS:
            small.write(folder / f"{name}.{engine}", middle, activations)
    for i, tensor in enumerate(small.example()):
        tensor.numpy().tofile(folder / f"{i}.bin")


def difference(root: Root, program: str, model: Path, out: Path) -> float:
    """How far a program's outputs are from a session's here, of the largest value.

    Raises:
        CheckError: the program failed, or wrote another number of outputs.
    """
    inputs = [tensor.numpy() for tensor in small.example()]
    (wanted,) = Session(model).run(*inputs)
    files = [f"/data/{i}.bin" for i in range(len(inputs))]
    done = root.run(f"/app/bin/{program}", "-o", "/out/y.bin", f"/data/{model.name}", *files)
    if done.returncode:
        raise CheckError(f"{program} on {model.name}: status {done.returncode}\n{done.stderr}")
    found = np.fromfile(out / "y.bin", np.float32)
    (out / "y.bin").unlink()
    if found.size != wanted.size:
        raise CheckError(f"{program} on {model.name}: {found.size} numbers, not {wanted.size}")
    return float(np.abs(found - wanted.ravel()).max() / np.abs(wanted).max())


def check() -> Iterator[tuple[str, ...]]:
    """Give program, engine's version, model and the largest difference.

    Raises:
        CheckError: it is too large, or a program failed.
    """
    with TemporaryDirectory() as data, TemporaryDirectory() as out:
        Path(data).chmod(0o755)
        Path(out).chmod(0o777)  # nobody reads the one and writes the other
        write(Path(data))
        env = {"ORT_DISABLE_TELEMETRY": "1"}
        root = Root(base_root(), env, {"/app": APP, "/data": Path(data)}, Path(out))
        for program, engine in PROGRAMS.items():
            for name, (*_, most) in MODELS.items():
                print(f"{program}, {name}", file=sys.stderr)
                found = difference(root, program, Path(data) / f"{name}.{engine}", Path(out))
                if not found <= most:
                    raise CheckError(f"{program}, {name}: off by {found:.1e}, not {most:.0e}")
                yield program, f"{WHEELS[engine]} {version(engine)}", name, f"{found:.0e}"


def main() -> int:
    """Build, run and print what was found; 1 if something is wrong."""
    table = Table("program", "engine", "model", "largest difference to x86-64")
    try:
        build()
        for row in check():
            table.add_row(*row)
    except MissingToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
