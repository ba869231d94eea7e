"""Runs the image in dist/ emulated and locked up: `make test-container-arm64`.

As nobody, on a read-only file system without network: doctor, the health check, MiniLM at 3 bits
beside what it gives here, and bench, by the image's entry point.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from container import ENGINES, archive_of, buildah
from rich.console import Console
from rich.table import Table
from root_fs import MissingToolError, Root

from smalti.models import minilm
from smalti.runtime import Session

BUILD = Path(__file__).parents[2] / "build"
# Engines add up in another order on another CPU; then one activation in thousands rounds to the
# other int8 step. On one x86 machine kernels and fallback differ as much: a cosine of 0.9999.
LEAST_COSINE = 0.999
LOCKED = """
import os, socket
assert os.getuid() == 65532, os.getuid()
for folder in ("/", "/tmp", "/models", "/opt/smalti"):
    try:
        open(f"{folder}/x", "w")
    except OSError:
        continue
    raise SystemExit(f"{folder} can be written to")
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)
except OSError as error:
    assert "unreachable" in str(error), error
print("user 65532, read-only, no network")
"""


class CheckError(Exception):
    """The image does not do what it should."""


@dataclass(frozen=True)
class Image:
    """What an image says of itself, and where its files are."""

    root: Root
    entry: list[str]
    health: list[str]

    def smalti(self, *arguments: str) -> str:
        return self.start(*self.entry, *arguments)

    def start(self, *command: str) -> str:
        """Run a command; return what it prints.

        Raises:
            CheckError: it failed.
        """
        done = self.root.run(*command)
        if done.returncode:
            raise CheckError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
        return done.stdout


@contextmanager
def opened(archive: Path) -> Iterator[Image]:
    """Unpack an image's archive; it goes away again."""
    plain = BUILD / "container" / "checked.tar"  # buildah 1.28 cannot read it compressed
    with plain.open("wb") as file:
        subprocess.run(["gzip", "--decompress", "--stdout", archive], check=True, stdout=file)
    name = buildah("from", "--quiet", "--arch", "arm64", f"docker-archive:{plain}")
    plain.unlink()
    try:
        config: dict[str, Any] = json.loads(buildah("inspect", name))["Docker"]["config"]
        env = dict(line.split("=", 1) for line in config["Env"])
        work, user = config["WorkingDir"], config["User"]
        root = Root(Path(buildah("mount", name)), {"HOME": "/", **env}, user=user, work=work)
        kind, *health = config["Healthcheck"]["Test"]
        if kind != "CMD":
            raise CheckError(f"the health check is of kind {kind}, and needs a shell")
        yield Image(root, config["Entrypoint"], health)
    finally:
        buildah("rm", name)


def write_model(path: Path) -> None:
    """Export MiniLM at 3 bits, with its inputs and outputs here; once."""
    if path.with_suffix(".wanted.npy").exists():
        return
    from smalti.export import export_onnx
    from smalti.export.tflite import export_tflite
    from smalti.quant import quantize_

    print(f"exporting {path.name}, some minutes", file=sys.stderr)
    module, inputs = minilm.model(), minilm.example_inputs()
    layers = quantize_(module, "vq-2x64-g128")
    (export_onnx if path.suffix == ".onnx" else export_tflite)(module, inputs, path, layers=layers)
    for i, tensor in enumerate(inputs):
        np.save(path.with_suffix(f".{i}.npy"), tensor.numpy())
    (wanted,) = Session(path).run(*(tensor.numpy() for tensor in inputs))
    np.save(path.with_suffix(".wanted.npy"), wanted)


def doctor(image: Image, engine: str) -> str:
    found = {row["check"]: row for row in json.loads(image.smalti("doctor", "--json"))}
    for check in (f"engine for .{engine}", "native library", "self-test"):
        if found[check]["status"] != "ok":
            raise CheckError(f"doctor: {found[check]}")
    return ", ".join(found[k]["found"] for k in ("python", f"engine for .{engine}"))


def outputs(image: Image, path: Path, out: Path) -> str:
    given = [part for i in (0, 1) for part in ("--input", f"{path.stem}.{i}.npy")]
    image.smalti("run", path.name, *given, "-o", "/out")
    (file,) = out.glob("*.npy")
    found, wanted = np.load(file), np.load(path.with_suffix(".wanted.npy"))
    cosine = float(np.sum(found * wanted, axis=1).min())  # embeddings have length 1
    error = float(np.abs(found - wanted).max())
    if found.shape != wanted.shape or not cosine >= LEAST_COSINE:
        raise CheckError(f"{path.name}: cosine {cosine:.6f} is not {LEAST_COSINE}")
    return f"cosine to the outputs on x86 {cosine:.6f}, largest difference {error:.1e}"


def bench(image: Image, path: Path) -> str:
    baseline = ["--baseline", path.name] if path.suffix == ".tflite" else []
    rows = json.loads(image.smalti("bench", path.name, *baseline, "--seconds", "0.1", "--json"))
    return f"{len(rows)} rows; no speed is told of an emulated machine"


def check(engine: str) -> Iterator[tuple[str, str]]:
    """Give every check and what it found.

    Raises:
        CheckError: one failed.
    """
    folder = BUILD / "container" / "minilm" / engine
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / f"minilm-3bit.{engine}"
    write_model(model)
    with opened(archive_of(engine)) as image, TemporaryDirectory() as out:
        Path(out).chmod(0o777)  # nobody writes there
        image = replace(image, root=replace(image.root, shown={"/models": folder}, out=Path(out)))
        yield "locked up", image.start("python3", "-c", LOCKED).strip()
        yield "doctor", doctor(image, engine)
        yield "health check", image.start(*image.health) and "status 0"
        yield "run", outputs(image, model, Path(out))
        yield "bench", bench(image, model)


def main() -> int:
    """Check the image of the engine that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1] not in ENGINES:
        print(f"usage: {sys.argv[0]} {{{','.join(ENGINES)}}}", file=sys.stderr)
        return 2
    table = Table("check", "found", title=archive_of(sys.argv[1]).name)
    try:
        for name, found in check(sys.argv[1]):
            print(f"{name}: {found}", file=sys.stderr)
            table.add_row(name, found)
    except MissingToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    except (CheckError, subprocess.CalledProcessError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
