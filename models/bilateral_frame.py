"""The bilateral recipe's edit of a 12-megapixel frame: time, memory, and what an int8 grid costs.

Run `python -m smalti.models.bilateral_frame`, on Linux. Files that are there are kept.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

HEIGHT, WIDTH = 4000, 3000  # of a phone held upright
RUNS = 5
_STRIDE = 4  # colours are compared at one in 4 x 4 pixels

Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """One file. ms: median time of a run, by threads; memory_mb: what a run takes at its peak.

    psnr: to the edit, in dB. delta_e: mean CIEDE2000 from what the first file gives.
    """

    file: str
    file_kb: float
    ms: dict[int, float]
    memory_mb: float
    psnr: float
    delta_e: float


def frame() -> Tensor:
    """Return the portrait, enlarged: (1, 3, HEIGHT, WIDTH)."""
    from smalti.models.pictures import portrait, resized

    return resized(portrait(), HEIGHT, WIDTH)


def exported(folder: Path, image: Tensor, say: Callable[[str], None]) -> list[Path]:
    """Export the trained grid, as it is and in int8, for both engines; keep files there are."""
    from smalti.export import export_onnx, export_tflite
    from smalti.models import bilateral

    module, found = bilateral.model(), []
    for grid in ("float", "int8"):
        if grid == "int8":
            module.quantize_()
        for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
            found.append(folder / f"{grid}.{suffix}")
            if not found[-1].exists():
                say(f"exporting {found[-1]}")
                export(module, (image,), found[-1])
    return found


def measured(path: Path, given: Path, found: Path) -> tuple[dict[int, float], float]:
    """Run a file in this process; keep what it gives, return milliseconds and megabytes."""
    from smalti.runtime import Session

    image, session = np.load(given), Session(path, threads=1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is taken now
    before = _peak_mb()
    (edited,) = session.run(image)
    memory = _peak_mb() - before
    np.save(found, edited)
    times = {threads: _milliseconds(Session(path, threads=threads), image) for threads in (1, 2)}
    return times, memory


def _milliseconds(session: Any, image: Array) -> float:
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        session.run(image)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:])


def _peak_mb() -> float:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024 / 1e6


def delta_e(found: Array, wanted: Array) -> float:
    """Return the mean difference of colours (1, 3, h, w) in 0..1 by CIEDE2000."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    small = (np.moveaxis(a[0, :, ::_STRIDE, ::_STRIDE], 0, -1).clip(0, 1) for a in (found, wanted))
    return float(np.mean(deltaE_ciede2000(*map(rgb2lab, small))))


def rows(folder: Path, say: Callable[[str], None]) -> list[Row]:
    """Measure all files, each in a process of its own."""
    from smalti.models import bilateral
    from smalti.models.pictures import psnr

    folder.mkdir(parents=True, exist_ok=True)
    image = frame()
    given, result = folder / "frame.npy", folder / "edited.npy"
    np.save(given, image.numpy())
    wanted, first, done = bilateral.edited(image).numpy(), None, []
    for path in exported(folder, image, say):
        say(f"running {path}")
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            times, memory = pool.submit(measured, path, given, result).result()
        found = np.load(result)
        first = found if first is None else first
        scores = psnr(found, wanted), delta_e(found, first)
        done.append(Row(path.name, path.stat().st_size / 1e3, times, memory, *scores))
    return done


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build/bilateral")
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(out: Path, as_json: bool) -> None:
    """Edit 3000 x 4000 pixels in ONNX Runtime and LiteRT, with a grid in float and in int8."""
    from dataclasses import asdict

    from rich.console import Console

    from smalti.export import report

    with Console(stderr=True).status("enlarging a photo") as status:
        found = [asdict(row) for row in rows(out, status.update)]
    report.show(report.rows_table(found), found, as_json)


if __name__ == "__main__":
    main()
