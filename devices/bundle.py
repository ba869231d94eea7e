"""Puts what one device needs to run one model into a folder: docs/bundle.md."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from smalti.devices.bundle_folder import check_free, folder_beside, names, write_sums
from smalti.devices.graph import open_graph
from smalti.devices.memory import memory
from smalti.devices.profile import FOLDER, Device, DeviceError
from smalti.devices.readme import readme
from smalti.devices.targets import ENGINES, Target, target_of
from smalti.devices.wheels import Pip, find_archive, find_wheel
from smalti.devices.work import works
from smalti.runtime.artifact import Artifact, open_artifact
from smalti.runtime.errors import FileError, MissingRuntimeError

CONTAINER = FOLDER.resolve() / "arm64" / "container.py"
CONTAINER_PYTHON = "3.11"  # of the image's base
NEEDS = ("cyclonedx", "packaging", "pip")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to bundle. made: the folder of smalti's wheels and archives for other machines.

    python: of the device, as "3.11". find_links: a folder that has all other wheels; None for
    the package index. c: the archive for C programs in place of wheels. container: an image, too.
    """

    model: Path
    device: Device
    made: Path
    python: str = "3.11"
    find_links: Path | None = None
    c: bool = False
    container: bool = False


@dataclass(frozen=True)
class Bundle:
    """A finished folder: bytes by file, and what its author should know."""

    path: str
    files: dict[str, int]
    warnings: list[str]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self.files.values())


def bundle(order: Order, out: Path, progress: Callable[[str], None]) -> Bundle:
    """Fill a folder beside `out`, then rename it; a bundle that is there goes away.

    Raises:
        DeviceError: the device has no such wheels, or `out` is there and no bundle.
        FileError: the model is missing or damaged.
        MissingRuntimeError: a wheel, an archive or a tool is missing; the message says the mend.
    """
    _check_tools()
    check_free(out)
    artifact = open_artifact(order.model)
    if damaged := artifact.damaged():
        raise FileError(f"{order.model}: damaged weights: {', '.join(damaged)}; export it again")
    target = _checked_target(order, artifact.engine)
    if not artifact.path.name.isprintable():
        raise FileError(f"{artifact.path.name!r}: no name for a list of files; rename it")
    with folder_beside(out) as draft:
        _fill(draft, order, artifact, target, progress)
        sizes = {name: (draft / name).stat().st_size for name in names(draft)}
    return Bundle(str(out), sizes, list(_warnings(order.device, artifact)))


def _check_tools() -> None:
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise MissingRuntimeError(f"{', '.join(missing)} missing; pip install 'smalti[bundle]'")


def _checked_target(order: Order, engine: str) -> Target:
    """What the device is, if all that was ordered can be had for it."""
    name, target = order.device.name, target_of(order.device)
    if not order.c and engine not in target.engines:
        raise DeviceError(
            f"{name}: there are no wheels of {ENGINES[engine]} and numpy for {target.machine}; "
            "--c takes the library for C programs instead"
        )
    if not order.container:
        return target
    if order.c or target.name != "arm64" or order.python != CONTAINER_PYTHON:
        raise DeviceError(
            f"{name}: the image is made of wheels for arm64 and Python {CONTAINER_PYTHON}; leave "
            "--container out, or the other options and devices"
        )
    if not CONTAINER.is_file():
        raise MissingRuntimeError("images are made from smalti's sources; call smalti from there")
    return target


def _fill(
    draft: Path, order: Order, artifact: Artifact, target: Target, progress: Callable[[str], None]
) -> None:
    from smalti.devices.sbom import write_sbom

    model = draft / "model"
    model.mkdir()
    for name in (artifact.path.name, *artifact.beside):
        shutil.copyfile(artifact.path.with_name(name), model / name)
    if order.c:
        archive = find_archive(order.made, target)
        (draft / "c").mkdir()
        shutil.copyfile(archive, draft / "c" / archive.name)
    else:
        progress("downloading wheels")
        wheel = find_wheel(order.made, target)
        pip = Pip(target, order.python, order.find_links)
        pip.gather(wheel, artifact.engine, draft / "wheels")
        _write_script(draft / "run.sh", order, artifact, target)
    if order.container:
        progress("building the image")
        _build_image(draft, artifact.engine)
    (draft / "README.txt").write_text(readme(draft, order.device, target, artifact, order.python))
    progress("hashing")
    write_sbom(draft, f"{artifact.path.name} for {order.device.name}")
    write_sums(draft)


def _write_script(path: Path, order: Order, artifact: Artifact, target: Target) -> None:
    """run.sh of this folder, with what it is for on top."""
    facts = {
        "model": f"model/{artifact.path.name}",
        "engine": artifact.engine,
        "python": order.python,
        "machine": target.machine,
    }
    head = "".join(f"{name}={quote(value)}\n" for name, value in facts.items())
    path.write_text(f"#!/bin/sh\n{head}{(FOLDER / 'run.sh').read_text()}")
    path.chmod(0o755)


def _build_image(draft: Path, engine: str) -> None:
    """Have devices/arm64/container.py make it of the same wheels and model."""
    archive = draft / "image" / f"smalti-{engine}-arm64.tar.gz"
    models = [str(path) for path in sorted((draft / "model").iterdir())]
    command = [sys.executable, str(CONTAINER), engine, *models]
    command += ["--wheels", str(draft / "wheels"), "--output", str(archive)]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise MissingRuntimeError("the image could not be built; see above")


def _warnings(device: Device, artifact: Artifact) -> Iterator[str]:
    if artifact.engine != device.engine:
        yield (
            f"{device.name} prefers {ENGINES[device.engine]}, {artifact.path.name} takes "
            f"{ENGINES[artifact.engine]}; export to .{device.engine} to follow the profile"
        )
    graph = open_graph(artifact.path)
    need = memory(graph, list(works(graph))).peak / 1e6
    if device.ram_mb is not None and need > device.ram_mb:
        yield (
            f"{artifact.path.name} needs {need:.0f} MB by prediction, {device.name} has "
            f"{device.ram_mb}; the engine and the system need some, too: take a smaller format"
        )
