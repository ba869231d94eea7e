"""What a recipe draws of its files, as a small PNG."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from smalti.models.zoo import kept
from smalti.models.zoo.kept import PICTURE, Results
from smalti.models.zoo.subject import Run, Subject
from smalti.runtime.session import Session

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 60_000  # bytes
_DPI = (120, 100, 80, 65, 50)


def keep(subject: Subject, results: Results, folder: Path) -> None:
    """Draw what the recipe's picture() makes of its files, unless it is there and newer."""
    engine = next((e for e in results.engines if results.has("float", e)), None)
    if engine is None or not hasattr(subject.source, "picture"):
        return
    files = {
        row: kept.file_of(folder, row, engine) for row in results.scores if results.has(row, engine)
    }
    path = folder / PICTURE
    newest = max(file.stat().st_mtime for file in files.values())
    if path.is_file() and path.stat().st_mtime > newest:
        return
    subject.say("drawing")
    runs: dict[str, Run] = {row: Session(file).run for row, file in files.items()}
    draft = folder / f".{PICTURE}.{os.getpid()}"
    draft.write_bytes(small_png(subject.source.picture(runs)))
    os.replace(draft, path)


def small_png(figure: Figure) -> bytes:
    """Render a figure in 256 colours, as finely as LARGEST bytes allow."""
    from PIL import Image

    data = b""
    for dpi in _DPI:
        fine, small = io.BytesIO(), io.BytesIO()
        figure.savefig(fine, format="png", dpi=dpi)
        image = Image.open(fine).convert("RGB")
        image.quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        data = small.getvalue()
        if len(data) <= LARGEST:
            break
    return data
