"""Builds the arm64 container image with one engine; by Docker where it is, else by buildah."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from root_fs import MissingToolError, as_arm64, base_archive, need, need_emulation

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILD, DIST = ROOT / "build" / "container", ROOT / "dist"
BASE = "localhost/smalti-base:arm64"
ENGINES = ("onnx", "tflite")
PLATFORMS = [f"manylinux_2_{n}_aarch64" for n in (28, 27, 26, 17)] + ["manylinux2014_aarch64"]
MOST_BYTES = 150_000_000  # of the image without a model, compressed


def install_site(engine: str, to: Path, wheels: Path | None = None) -> None:
    """Install our wheel for arm64 and what it needs, without running any of it.

    wheels: a folder with all of them; None for ours in dist/ and the package index.

    Raises:
        FileNotFoundError: the wheel is not built.
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    ours = sorted((wheels or DIST).glob("smalti-*-py3-none-manylinux_2_28_aarch64.whl"))
    if not ours:
        raise FileNotFoundError(f"{wheels or 'dist'}/ has no wheel for arm64: make wheel-arm64")
    shutil.rmtree(to, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(to), "--only-binary=:all:", "--no-compile"]
    command += ["--python-version", "3.11", "--implementation", "cp"]
    command += [part for name in PLATFORMS for part in ("--platform", name)]
    command += ["--no-index", "--find-links", str(wheels)] if wheels else []
    subprocess.run([*command, f"{ours[-1]}[{engine}]"], check=True)
    shutil.rmtree(to / "bin", ignore_errors=True)  # they would start this machine's Python


def context(engine: str, models: Sequence[Path], wheels: Path | None) -> Path:
    """Make the folder that Dockerfile.arm copies from: site/ and models/."""
    folder = BUILD / engine
    install_site(engine, folder / "site", wheels)
    shutil.rmtree(folder / "models", ignore_errors=True)
    (folder / "models").mkdir()
    for model in models:
        shutil.copy(model, folder / "models")
    return folder


def archive_of(engine: str) -> Path:
    """Where the image goes: what `docker load` and `podman load` read."""
    return DIST / f"smalti-{engine}-arm64.tar.gz"


def build(
    engine: str, models: Sequence[Path], target: str, wheels: Path | None, archive: Path
) -> Path:
    """Build the image and write its archive, beside and then renamed.

    Raises:
        subprocess.CalledProcessError: a tool failed; it has said why.
        MissingToolError: there is neither Docker nor what buildah needs.
    """
    folder = context(engine, models, wheels)
    archive.parent.mkdir(parents=True, exist_ok=True)
    plain = archive.with_name(f".{archive.stem}")
    plain.unlink(missing_ok=True)
    by_docker = _docker_runs()
    print(f"building by {'Docker' if by_docker else 'buildah'}", file=sys.stderr)
    (_by_docker if by_docker else _by_buildah)(engine, folder, plain, target)
    subprocess.run(["gzip", "--force", "--no-name", str(plain)], check=True)
    return plain.with_name(f"{plain.name}.gz").replace(archive)


def _docker_runs() -> bool:
    """Whether there is Docker, with its builder; other tools take its name, too."""
    if not shutil.which("docker"):
        return False
    asked = subprocess.run(["docker", "buildx", "inspect"], capture_output=True, check=False)
    return asked.returncode == 0


def _by_docker(engine: str, folder: Path, archive: Path, target: str) -> None:
    command = ["docker", "buildx", "build", "--platform", "linux/arm64", "--target", target]
    command += ["--file", str(ROOT / "Dockerfile.arm"), "--tag", f"smalti-{engine}:arm64"]
    subprocess.run([*command, "--output", f"type=docker,dest={archive}", str(folder)], check=True)


def _by_buildah(engine: str, folder: Path, archive: Path, target: str) -> None:
    _import_base()
    name = f"localhost/smalti-{engine}:arm64"
    command = ["bud", "--isolation", "chroot", "--arch", "arm64", "--pull-never", "--quiet"]
    command += ["--format", "docker"]  # an OCI image has no field for a health check
    command += ["--file", str(ROOT / "Dockerfile.arm"), "--build-arg", f"BASE={BASE}"]
    if target == "checked":
        need_emulation()
    command += ["--target", target, "--tag", name, str(folder)]
    buildah(*command, within=as_arm64() if target == "checked" else ())
    buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")


def _import_base() -> None:
    """Put the root file system into buildah's store, once."""
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        return
    work = buildah("from", "--arch", "arm64", "scratch")
    buildah("add", "--quiet", work, str(base_archive()), "/")
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    buildah("config", "--arch", "arm64", "--os", "linux", "--env", path, work)
    buildah("commit", "--quiet", work, BASE)
    buildah("rm", work)


def buildah(*command: str, within: Sequence[str] = ()) -> str:
    """Run buildah on a store of our own; return what it prints. `within` is a command to start it.

    Raises:
        MissingToolError: it is missing.
        subprocess.CalledProcessError: it failed; it has said why.
    """
    need("buildah", "buildah")
    store = ["--root", str(BUILD / "store"), "--runroot", str(BUILD / "run")]
    done = subprocess.run(
        [*within, "buildah", *store, *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.strip()


def main() -> int:
    """Build the image that the command line names, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("models", nargs="*", type=Path, help="files to put into /models")
    parser.add_argument("--target", default="plain", choices=("plain", "checked"))
    parser.add_argument("--wheels", type=Path, help="a folder with all wheels; no network")
    parser.add_argument("--output", type=Path, help="the archive; default: in dist/")
    given = parser.parse_args()
    archive = given.output or archive_of(given.engine)
    try:
        build(given.engine, given.models, given.target, given.wheels, archive)
    except (MissingToolError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 4
    size = archive.stat().st_size
    print(f"{os.path.relpath(archive)}  {size / 1e6:.1f} MB")
    if size > MOST_BYTES and not given.models:
        print(f"more than {MOST_BYTES / 1e6:.0f} MB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
