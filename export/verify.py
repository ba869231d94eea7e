"""Runs an exported file and compares it with the module it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from smalti.runtime.errors import CheckError
from smalti.runtime.session import Session

FLOAT_TOLERANCE = 1e-4
INT8_TOLERANCE = 1e-2  # a sum that falls beside a rounding boundary moves by a step


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return ||found - expected|| / ||expected||; infinite for NaN that only one has."""
    if found.shape != expected.shape or not np.array_equal(np.isnan(found), np.isnan(expected)):
        return float("inf")
    found = np.nan_to_num(found.astype(np.float64))
    expected = np.nan_to_num(expected.astype(np.float64))
    norm = float(np.linalg.norm(expected))
    return float(np.linalg.norm(found - expected)) / (norm or 1.0)


def tolerance(module: torch.nn.Module) -> float:
    """Return how far an engine may be off: more where activations are rounded to int8."""
    rounded = any(getattr(layer, "int8", False) for layer in module.modules())
    return INT8_TOLERANCE if rounded else FLOAT_TOLERANCE


def verify(path: Path, module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> list[float]:
    """Run the file on `args`; return the relative error of every output.

    Raises:
        CheckError: an output is off by more than the tolerance.
    """
    with torch.no_grad():
        expected = _flatten(module(*args))
    session = Session(path, threads=1)
    found = session.run(*(a.numpy() for a in args))
    if len(found) != len(expected):
        raise CheckError(f"the file has {len(found)} outputs, the module {len(expected)}")
    errors = [relative_error(f, e) for f, e in zip(found, expected, strict=True)]
    limit = tolerance(module)
    for port, error in zip(session.outputs, errors, strict=True):
        if error > limit:
            raise CheckError(
                f"output {port.name!r} of the file is off by {error:.2g} of its size (limit "
                f"{limit:g}); nothing was written. `smalti compare` finds the layer"
            )
    return errors


def _flatten(outputs: Any) -> list[NDArray[Any]]:
    if isinstance(outputs, torch.Tensor):
        return [outputs.numpy()]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [array for value in values if value is not None for array in _flatten(value)]
