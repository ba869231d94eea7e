"""Real transforms of any length beside Torch, SciPy and ONNX Runtime's DFT; FITS beside Torch.

ONNX Runtime computes in float32, and away from powers of two is off by up to 1e-4 of the result;
ours is off by a rounding. A forecast of FITS transforms 7 rows, a batch of 64 of them 448.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from benchmarks.subject import OURS, Array, Run, Subject, node, session
from smalti.export import export_onnx
from smalti.models import fits

_DFT = """<ir_version: 10, opset_import: ["" : 21]>
    dft (float{given} x) => (float{made} y) <int64 length = {{{n}}}, int64 axis = {{1}}> {{
        y = DFT <onesided = 1, inverse = {inverse}> (x, length, axis)
    }}"""


def _engine(x: Array, n: int, threads: int, inverse: bool) -> Run:
    """ONNX Runtime's own operator, whose real numbers have a last axis of one."""
    made = [len(x), n, 1] if inverse else [len(x), n // 2 + 1, 2]
    given = x if inverse else x[..., None]
    text = _DFT.format(given=list(given.shape), made=made, n=n, inverse=int(inverse))
    return session(onnx.parser.parse_model(text), {"x": given}, threads)


def _scipy(name: str, x: Array, threads: int, *sizes: int) -> dict[str, Run]:
    try:
        import scipy.fft
    except ImportError:
        print("scipy is not installed: without it", file=sys.stderr)
        return {}
    call: Any = getattr(scipy.fft, name)
    return {"scipy": lambda: call(x, *sizes, workers=threads)}


def _forward(rows: int, n: int, threads: int) -> Mapping[str, Run]:
    x = np.random.default_rng(0).standard_normal((rows, n), np.float32)
    tensor = torch.from_numpy(x)
    return {
        OURS: node("RFFT", [x], {"modes": n // 2 + 1}, threads),
        "torch": lambda: torch.fft.rfft(tensor),
        **_scipy("rfft", x, threads),
        "onnxruntime": _engine(x, n, threads, False),
    }


def _inverse(rows: int, n: int, threads: int) -> Mapping[str, Run]:
    x = np.random.default_rng(0).standard_normal((rows, n // 2 + 1, 2), np.float32)
    bins = x.view(np.complex64)[..., 0]
    tensor = torch.from_numpy(bins)
    return {
        OURS: node("IRFFT", [x], {"n": n}, threads),
        "torch": lambda: torch.fft.irfft(tensor, n),
        **_scipy("irfft", bins, threads, n),
        "onnxruntime": _engine(x, n, threads, True),
    }


@cache
def _fits() -> tuple[nn.Module, Any]:
    """Return the untrained net, and its file as the exporter writes it."""
    module, x = fits.FITS(fits.PAST, fits.AHEAD, fits.BINS).eval(), torch.randn(2, fits.PAST, 7)
    with TemporaryDirectory() as folder:
        path = Path(folder, "fits.onnx")
        export_onnx(module, (x,), path, dynamic_shapes=fits.dynamic_shapes())
        return module, onnx.load(path)


def _forecasts(windows: int, threads: int) -> Mapping[str, Run]:
    module, file = _fits()
    x = np.random.default_rng(0).standard_normal((windows, fits.PAST, 7), np.float32)
    tensor = torch.from_numpy(x)
    return {
        OURS: session(file, {"x": x}, threads),
        "torch": lambda: module(tensor),
    }


_SIZES = (*((7, n) for n in (96, 720, 1000, 1024, 4099)), (448, 720))
SUBJECTS = (
    *(Subject(f"RFFT of {n}, {rows} rows", partial(_forward, rows, n)) for rows, n in _SIZES),
    *(Subject(f"IRFFT of {n}, {rows} rows", partial(_inverse, rows, n)) for rows, n in _SIZES),
    *(Subject(f"FITS, {windows} windows", partial(_forecasts, windows)) for windows in (1, 64)),
)
