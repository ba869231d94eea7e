"""One photo as a file: what each recipe on images keeps of it in how many bytes, beside JPEG.

Run `python -m smalti.models.image_codec`. What has not been trained yet is trained, for a minute or
two a kind; files that are there are measured again only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

TABLES = ("float", "int8", "vq-2x256", "vq-4x256")
LAYERS = ("float", "int8", "vq-2x256", "vq-2x64", "vq-4x256")
QUALITIES = (5, 10, 20, 35, 50, 65, 80, 90, 95)  # of JPEG and WebP
TUNING, RATES = 150, (2e-3, 1e-4)  # steps for what stays in float beside codes, and their rates
SECONDS = 0.5  # of timing a file

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kind:
    """A way to keep the photo: its trained network, and the formats of its tables or layers."""

    name: str
    model: Callable[[], nn.Module]
    forms: Sequence[str]


@dataclass(frozen=True)
class Row:
    """One file of `bytes`, of which `payload` are its tensors; psnr in dB.

    ms: of drawing the photo on one thread of ONNX Runtime; None for Pillow's codecs.
    """

    kind: str
    form: str
    bytes: int
    payload: int
    psnr: float
    ms: float | None = None


def kinds() -> list[Kind]:
    """Return all kinds, grids first."""
    from smalti.models import image_grid, metric_grids, poly_inr, rbf_image, siren

    found = []
    for kind in image_grid.KINDS:
        forms = TABLES[:2] if kind in image_grid.ALONE else TABLES
        found.append(Kind(f"{kind} grid", partial(image_grid.model, kind), forms))
    found.append(Kind("metric grids", metric_grids.model, TABLES))
    found.append(Kind("radial functions", rbf_image.model, TABLES[:1]))
    found += [Kind(f"{k} network", partial(siren.model, k), LAYERS) for k in siren.KINDS]
    return [*found, Kind("polynomial network", poly_inr.model, LAYERS)]


def stored(kind: Kind, form: str) -> nn.Module:
    """Return the trained network with its tables, or else its layers, in a format.

    What stays in float beside a table's codes, its codebook and the decoder, is trained on; layers
    are rounded with feedback.
    """
    from torch.nn import Parameter

    from smalti.models import photo_field
    from smalti.quant import estimate, quantize_
    from smalti.quant.table import quantize_table_
    from smalti.runtime.ops.grid_encode.module import GridEncoding

    module = kind.model()
    grids = [part for part in module.modules() if isinstance(part, GridEncoding)]
    if form != "float" and not grids:
        quantize_(module, form, estimate(module, photo_field.calibration()))
    elif form != "float":
        quantize_table_(module, form)
        for grid in grids:
            if grid.codebook is not None:
                grid.codebook = Parameter(grid.codebook)
        if form in TABLES[2:]:
            photo_field.fit(module, TUNING, RATES)
    return module.eval()


def files(kinds: Sequence[Kind], folder: Path, say: Say) -> Iterator[tuple[Kind, str, Path]]:
    """Export all kinds in all their formats; files that are there are kept."""
    from smalti.export import export_onnx
    from smalti.models import photo_field

    for kind in kinds:
        for form in kind.forms:
            path = folder / f"{kind.name.replace(' ', '-')}-{form}.onnx"
            say(f"{kind.name}, {form}")
            if not path.exists():
                module = stored(kind, form)
                export_onnx(module, photo_field.example_inputs(), path, fallback="none")
            yield kind, form, path


def rows_of(kinds: Sequence[Kind], folder: Path, say: Say) -> list[Row]:
    """Score and time all files."""
    from smalti.models import photo_field
    from smalti.runtime import Session
    from smalti.runtime.bench import time_interleaved

    places = photo_field.example_inputs()[0].numpy()
    rows, runs = [], {}
    for kind, form, path in files(kinds, folder, say):
        run = Session(path, threads=1).run
        score = photo_field.evaluate(run)["psnr"]
        rows.append(Row(kind.name, form, path.stat().st_size, payload(path), score))
        runs[path.stem] = partial(run, places)
    say("timing")
    times = time_interleaved(runs, SECONDS)
    return [replace(row, ms=t.p50_ms) for row, t in zip(rows, times, strict=True)]


def payload(path: Path) -> int:
    """Return the bytes of all tensors in an .onnx file."""
    import onnx

    return sum(len(tensor.raw_data) for tensor in onnx.load(path).graph.initializer)


def others() -> Iterator[Row]:
    """Yield the photo in Pillow's JPEG and WebP."""
    import numpy as np
    from PIL import Image

    from smalti.models import photo_field
    from smalti.models.pictures import eight_bits, psnr

    wanted = eight_bits(photo_field.pixels()[None])
    for codec in ("JPEG", "WebP"):
        for quality in QUALITIES:
            file = io.BytesIO()
            Image.fromarray(wanted).save(file, codec, quality=quality)
            size = len(file.getvalue())
            found = np.asarray(Image.open(file).convert("RGB"))
            yield Row(codec, f"quality {quality}", size, size, psnr(found / 255, wanted / 255))


def chart(rows: Sequence[Row]) -> Figure:
    """Draw PSNR over bytes of the files, a line a kind; Pillow's codecs in grey."""
    from matplotlib.figure import Figure

    figure = Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row.kind for row in rows):
        line = sorted((row.bytes / 1e3, row.psnr) for row in rows if row.kind == name)
        (drawn,) = axes.plot(*zip(*line, strict=True), "o-", markersize=5, label=name)
        if "network" in name:
            drawn.set_linestyle("--")
        if name in ("JPEG", "WebP"):
            drawn.set_color("#8a939e")
            drawn.set_marker("^" if name == "JPEG" else "v")
    axes.set_xscale("log")
    axes.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.grid(color="#e4e7eb")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("file, kB")
    axes.set_ylabel("PSNR, dB")
    axes.set_title("A photo of 256 x 256 pixels as a file; 196.6 kB without compression")
    figure.legend(loc="outside right center", fontsize=9, frameon=False)
    return figure


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(out: Path, as_json: bool) -> None:
    """Keep a photo in grids and networks of about 24000 parameters, in several formats.

    Leaves image-codec.png in --out, and the files in its folder image-codec.
    """
    from rich.console import Console

    from smalti.export import report

    with Console(stderr=True).status("") as status:
        rows = [*rows_of(kinds(), out / "image-codec", status.update), *others()]
    chart(rows).savefig(out / "image-codec.png", dpi=120)
    found = [asdict(row) for row in rows]
    report.show(report.rows_table(found), found, as_json)


if __name__ == "__main__":
    main()
