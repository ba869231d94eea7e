"""Checks an installation: what is there, what is missing, and whether it computes right."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from smalti.runtime import native
from smalti.runtime.errors import SmaltiError
from smalti.runtime.onnx_engine import import_onnx_engine
from smalti.runtime.tflite_engine import import_tflite_engine

Finding = dict[str, str]


def diagnose() -> list[Finding]:
    """Return one finding a check; `status` is ok, missing (unusable) or absent (optional)."""
    return [
        {"check": "python", "status": "ok", "found": _python()},
        *_engines(),
        _check("native library", lambda: f"{native.version()} at {native.library_path()}"),
        _check("instruction sets", lambda: f"{', '.join(native.isas())}; in use: {native.isa()}"),
        _check("self-test", _self_test),
        *(_optional(package) for package in ("torch", "onnx", "onnxscript", "litert-torch")),
    ]


def _python() -> str:
    return f"{platform.python_version()}, numpy {np.__version__}, {platform.machine()}"


def _engines() -> list[Finding]:
    """One engine is enough; one that is installed but not usable is worth a word."""
    found = [
        _check("engine for .onnx", lambda: f"onnxruntime {import_onnx_engine().__version__}"),
        _check("engine for .tflite", _tflite_version),
    ]
    usable = any(finding["status"] == "ok" for finding in found)
    return [f | {"status": "absent"} if usable and f["status"] != "ok" else f for f in found]


def _tflite_version() -> str:
    package = "tflite-runtime" if import_tflite_engine().is_old else "ai-edge-litert"
    return f"{package} {version(package)}"


def _check(name: str, find: Callable[[], str]) -> Finding:
    try:
        return {"check": name, "status": "ok", "found": find()}
    except SmaltiError as error:
        return {"check": name, "status": "missing", "found": str(error)}


def _optional(package: str) -> Finding:
    try:
        return {"check": package, "status": "ok", "found": version(package)}
    except PackageNotFoundError:
        return {"check": package, "status": "absent", "found": "only needed to export"}


def _self_test() -> str:
    """The rotation has to keep lengths."""
    x = np.arange(256, dtype=np.float32).reshape(2, 128)
    attributes: dict[str, Any] = {"block": 128, "seed": 0}
    y = native.run_op("HadamardTransform", [x], attributes)
    drift = float(np.abs(np.linalg.norm(y, axis=1) / np.linalg.norm(x, axis=1) - 1).max())
    if not drift < 1e-5:
        raise SmaltiError(f"HadamardTransform changes lengths by {drift:.1e}; reinstall smalti")
    return f"HadamardTransform keeps lengths to {drift:.0e}"
