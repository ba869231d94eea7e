"""Runs an exported file and compares it with the module it came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smalti.quant.block_layers import BlockLinear
from smalti.quant.layers import VQConv2d, VQLinear
from smalti.runtime.errors import CheckError
from smalti.runtime.session import Session

FLOAT_TOLERANCE = 1e-4
INT8_TOLERANCE = 5e-2  # what rounding to int8 itself costs in a deep network, with room


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return ||found - expected|| / ||expected||; infinite for NaN that only one has."""
    if found.shape != expected.shape or not np.array_equal(np.isnan(found), np.isnan(expected)):
        return float("inf")
    found = np.nan_to_num(found.astype(np.float64))
    expected = np.nan_to_num(expected.astype(np.float64))
    norm = float(np.linalg.norm(expected))
    return float(np.linalg.norm(found - expected)) / (norm or 1.0)


def rounding_layers(module: torch.nn.Module) -> list[VQLinear | VQConv2d | BlockLinear]:
    """Return the layers that round activations to int8."""
    layers = (m for m in module.modules() if isinstance(m, VQLinear | VQConv2d | BlockLinear))
    return [layer for layer in layers if layer.int8]


@contextmanager
def float_activations(module: torch.nn.Module) -> Iterator[None]:
    """Switch the rounding of activations off.

    Rounding makes a deep network chaotic: a difference in the last bit of a float grows to the size
    of the rounding itself. Without it, a file and its module have to agree closely.
    """
    layers = rounding_layers(module)
    for layer in layers:
        layer.int8 = False
    try:
        yield
    finally:
        for layer in layers:
            layer.int8 = True


def verify(
    path: Path, module: torch.nn.Module, args: tuple[torch.Tensor, ...], limit: float
) -> list[float]:
    """Run the file on `args`; return the relative error of every output.

    Raises:
        CheckError: an output is off by more than the limit.
    """
    with torch.no_grad():
        expected = _flatten(module(*args))
    session = Session(path, threads=1)
    found = session.run(*(a.numpy() for a in args))
    if len(found) != len(expected):
        raise CheckError(f"the file has {len(found)} outputs, the module {len(expected)}")
    errors = [relative_error(f, e) for f, e in zip(found, expected, strict=True)]
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
