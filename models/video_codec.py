"""A short clip as a file: in the weights of `smalti.models.nerv` and in H.264.

Run `python -m smalti.models.video_codec`. What is kept of nerv in --out is measured again only
where something is missing, as by `smalti models run nerv`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from smalti.models.zoo.kept import Results

FACTORS = (51, 46, 41, 36, 31, 26, 21, 16)  # of constant quality, H.264's `crf`; 0 loses nothing
GREY, INK = "#8a939e", "#1f6f8b"


@dataclass(frozen=True)
class Row:
    """One way to keep the clip.

    bytes: of the file; payload: of them those that differ from clip to clip (NeRV's tensors); bits:
    of the payload for each pixel of each frame; psnr: in dB, the mean of the frames; onnx_fps,
    tflite_fps: frames that a thread of ONNX Runtime and of LiteRT decodes in a second.
    """

    codec: str
    form: str
    bytes: int
    payload: int
    bits: float
    psnr: float
    onnx_fps: float | None = None
    tflite_fps: float | None = None


def nerv_rows(results: Results, folder: Path) -> Iterator[Row]:
    """Yield what is known of NeRV's files."""
    from smalti.models import nerv
    from smalti.models.image_codec import payload
    from smalti.models.zoo.kept import file_of

    for form, scores in results.scores.items():
        file = file_of(folder, form, "onnx")
        kept = payload(file)
        psnr = scores["onnx"].metrics["psnr"]
        ms = [results.times.get(engine, {}).get(form) for engine in ("onnx", "tflite")]
        fps = [1000 / each if each else None for each in ms]
        yield Row("NeRV", form, file.stat().st_size, kept, _bits(kept, nerv.clip()), psnr, *fps)


def h264_rows(clip: NDArray[np.float32]) -> Iterator[Row]:
    """Yield a clip (T, 3, H, W) in 0..1 as x264 keeps it, from the fewest bytes on.

    Raises:
        ModuleNotFoundError: no package reads clips here.
    """
    import numpy as np

    from smalti.models.pictures import psnr

    for factor in FACTORS:
        stream = h264(clip, factor)
        pairs = zip(decoded(stream), clip, strict=True)
        quality = float(np.mean([psnr(found, frame) for found, frame in pairs]))
        size = len(stream)
        yield Row("H.264", f"crf {factor}", size, size, _bits(size, clip), quality)


def _bits(count: int, clip: NDArray[np.float32]) -> float:
    return 8 * count / (clip.size / 3)


def h264(clip: NDArray[np.float32], factor: int) -> bytes:
    """Return a clip (T, 3, H, W) in 0..1 as x264's stream, slow and with colours at half size."""
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", "h264") as container:
        stream = container.add_stream("libx264", 30, {"crf": str(factor), "preset": "slow"})
        stream.height, stream.width = clip.shape[2:]
        stream.pix_fmt = "yuv420p"
        for frame in np.round(clip * 255).astype(np.uint8).transpose(0, 2, 3, 1):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.copy(), "rgb24")))
        container.mux(stream.encode(None))
        return file.getvalue()


def decoded(stream: bytes) -> NDArray[np.float32]:
    """Return the frames (T, 3, H, W) in 0..1 of a stream of H.264."""
    import av
    import numpy as np

    with av.open(io.BytesIO(stream), "r", "h264") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


def chart(rows: Sequence[Row]) -> Figure:
    """Draw PSNR over bits for each pixel."""
    from matplotlib.figure import Figure

    figure = Figure((7, 4.4), layout="constrained")
    axes = figure.subplots()
    for codec, color in (("H.264", GREY), ("NeRV", INK)):
        line = sorted((row.bits, row.psnr, row.form) for row in rows if row.codec == codec)
        bits, quality, _ = zip(*line, strict=True)
        axes.plot(bits, quality, "o-", color=color, markersize=5, label=codec)
        for i, (x, y, form) in enumerate(line):  # in turn below and above, lest they overlap
            place, side = ((-5, 5), "right") if i % 2 else ((5, -10), "left")
            axes.annotate(form, (x, y), place, textcoords="offset points", fontsize=8, ha=side)
    axes.legend(frameon=False)
    axes.set_xscale("log")
    axes.margins(0.12)
    axes.grid(color="#e4e7eb")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("bits for a pixel of a frame")
    axes.set_ylabel("PSNR, dB")
    axes.set_title("32 frames of 128 x 160 pixels as H.264 and as the weights of NeRV")
    return figure


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/models"),
    show_default=True,
    help="The folder that keeps results and files.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("docs/video-codec.png"),
    show_default=True,
    help="The picture.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(out: Path, output: Path, as_json: bool) -> None:
    """Keep a clip in the weights of a net, in several formats, and in H.264."""
    from rich.console import Console

    from smalti.export import report
    from smalti.export.files import written_whole
    from smalti.models import nerv
    from smalti.models.zoo.measure import measure

    with Console(stderr=True).status("nerv") as status:
        results = measure("nerv", out / "nerv", ("onnx", "tflite"), 1, status.update)
        status.update("H.264")
        rows = [*nerv_rows(results, out / "nerv"), *h264_rows(nerv.clip())]
    with written_whole(output) as draft:
        chart(rows).savefig(draft, format="png", dpi=120)
    found = [asdict(row) for row in rows]
    report.show(report.rows_table(found), found, as_json)


if __name__ == "__main__":
    main()
