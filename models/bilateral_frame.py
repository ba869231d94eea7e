"""The bilateral recipe's edit of a 12-megapixel frame: time, memory, and what an int8 grid costs.

Run `python -m smalti.models.bilateral_frame`.
"""

from __future__ import annotations

import resource
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

HEIGHT, WIDTH = 3000, 4000
RUNS = 5
_STRIDE = 4  # colours are compared at one in 4 x 4 pixels

Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """One file. ms: median by threads. memory_mb: of one run, over the process with frame and model.

    psnr: to the edit, dB. delta_e: mean CIEDE2000 to what the float grid gives.
    """

    file: str
    file_kb: float
    ms: dict[int, float]
    memory_mb: float
    psnr: float
    delta_e: float


def frame() -> Tensor:
    """Return the middle of the portrait, enlarged: (1, 3, HEIGHT, WIDTH)."""
    from smalti.models.pictures import middle, portrait, resized

    return resized(middle(portrait(), 384, 512), HEIGHT, WIDTH)


def exported(folder: Path, image: Tensor, say: Callable[[str], None]) -> dict[str, Path]:
    """Export the trained grid, as it is and in int8, for both engines; keep what is there."""
    from smalti.export import export_onnx, export_tflite
    from smalti.models import bilateral

    module, found = bilateral.model(), {}
    for grid in ("float", "int8"):
        if grid == "int8":
            module.quantize_()
        for suffix, export in (("onnx", export_onnx), ("tflite", export_tflite)):
            path = folder / f"{grid}.{suffix}"
            say(f"exporting {path}")
            export(module, (image,), path)
            found[f"{grid} .{suffix}"] = path
    return found


def measured(path: Path, given: Path, found: Path) -> tuple[dict[int, float], float]:
    """Run a file in this process; keep what it gives, return milliseconds and megabytes."""
    from smalti.runtime import Session

    image, session = np.load(given), Session(path, threads=1)
    before = _peak()
    np.save(found, session.run(image)[0])
    memory = _peak() - before
    times = {threads: _milliseconds(Session(path, threads=threads), image) for threads in (1, 2)}
    return times, memory


def _milliseconds(session: Any, image: Array) -> float:
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        session.run(image)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def delta_e(found: Array, wanted: Array) -> float:
    """Return the mean difference of colours (1, 3, h, w) in 0..1 by CIEDE2000."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    small = (np.moveaxis(a[0, :, ::_STRIDE, ::_STRIDE], 0, -1).clip(0, 1) for a in (found, wanted))
    return float(deltaE_ciede2000(*map(rgb2lab, small)).mean())


def rows(folder: Path, say: Callable[[str], None]) -> list[Row]:
    """Measure all files, each in a process of its own."""
    from smalti.models import bilateral
    from smalti.models.pictures import psnr

    folder.mkdir(parents=True, exist_ok=True)
    image = frame()
    given, outcome = folder / "frame.npy", folder / "found.npy"
    np.save(given, image.numpy())
    files, wanted = exported(folder, image, say), bilateral.edited(image).numpy()
    done: list[Row] = []
    exact = None
    for name, path in files.items():
        say(f"running {path}")
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            times, memory = pool.submit(measured, path, given, outcome).result()
        found = np.load(outcome)
        exact = found if exact is None else exact
        size = path.stat().st_size / 1e3
        difference = delta_e(found, exact)
        done.append(Row(name, size, times, memory, psnr(found, wanted), difference))
    return done


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build/bilateral")
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def main(out: Path, as_json: bool) -> None:
    """Edit a frame of 4000 x 3000 pixels in ONNX Runtime and LiteRT, with a float and an int8 grid."""
    from dataclasses import asdict

    from rich.console import Console

    from smalti.export import report

    with Console(stderr=True).status("drawing the frame") as status:
        found = [asdict(row) for row in rows(out, status.update)]
    report.show(report.rows_table(found), found, as_json)


if __name__ == "__main__":
    main()
