"""The README.txt of a bundle."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from smalti.devices.profile import Device
from smalti.devices.targets import ENGINES, Target
from smalti.runtime.artifact import Artifact

_WHEELS = """\
    sh run.sh                 # check and install into venv/ here, without network; test, run, time
    sh run.sh run -o outputs  # run once, outputs as .npy files; inputs by --input x.npy
    sh run.sh bench           # time it
"""
_C = """\
    tar -xzf {archive}
    export PKG_CONFIG_PATH="$PWD/{stem}/lib/pkgconfig" LD_LIBRARY_PATH="$PWD/{stem}/lib"
    cc app.c $(pkg-config --cflags --libs smalti)  # and the engine's own library
"""
_IMAGE = """\
    docker load -i {image} && docker run --read-only {name} run {model}
"""


def readme(folder: Path, device: Device, target: Target, artifact: Artifact, python: str) -> str:
    """Say what to do with what lies in a folder, in about ten lines."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    by_kind = {path.parts[0]: path for path in files}
    steps, needs = _WHEELS, f"Python {python} with its module venv"
    if "c" in by_kind:
        archive = by_kind["c"]
        steps = _C.format(archive=archive, stem=archive.name.removesuffix(".tar.gz"))
        needs = f"{ENGINES[artifact.engine]} and a program, as in examples/c of smalti"
    if "image" in by_kind:
        name = f"smalti-{artifact.engine}:arm64"
        steps += _IMAGE.format(image=by_kind["image"], name=name, model=artifact.path.name)
    return (
        f"{artifact.path.name} for {device.name} ({device.title}), "
        f"by smalti {version('smalti')}\n\n"
        f"    sha256sum -c SHA256SUMS   # are all files whole?\n{steps}\n"
        f"Needed there: Linux on {target.machine}, glibc 2.{target.glibc} or newer; {needs}.\n"
        "sbom.cdx.json lists the files with versions, licences and hashes (CycloneDX 1.6).\n"
    )
