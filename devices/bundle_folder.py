"""The folder of a bundle: made beside its place, listed in SHA256SUMS, replaced only by another."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smalti.devices.profile import DeviceError

SUMS, SBOM = "SHA256SUMS", "sbom.cdx.json"


def check_free(out: Path) -> None:
    """Refuse to replace what no bundle has put there.

    Raises:
        DeviceError: `out` is there, and is no bundle or has other files.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    sums = out / SUMS
    text = sums.read_text(encoding="utf-8", errors="replace") if sums.is_file() else ""
    listed = {line[66:] for line in text.splitlines()}  # behind the digest and two blanks
    if SBOM not in listed:
        raise DeviceError(f"{out} is there and no bundle; name another folder")
    known = listed | {SUMS}
    if strange := [n for n in names(out) if n not in known and not n.startswith("venv/")]:
        raise DeviceError(
            f"{out} has files that are not of a bundle: {', '.join(strange[:3])}; move them away, "
            "or name another folder"
        )


@contextmanager
def folder_beside(out: Path) -> Iterator[Path]:
    """Give an empty folder; put it in the place of `out` when all went well."""
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        draft = beside / "new"
        draft.mkdir()
        yield draft
        if out.exists():
            os.replace(out, beside / "old")
        os.replace(draft, out)
    finally:
        shutil.rmtree(beside)


def names(folder: Path) -> list[str]:
    """Paths of all files below a folder, in order."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [str(path.relative_to(folder)) for path in files]


def sha256(path: Path) -> str:
    """A file's digest."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """List every file with its digest, as `sha256sum --check` reads it."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in names(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")
