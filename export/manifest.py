"""What an exported file says of itself."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch

from smalti.quant.apply import LayerReport
from smalti.runtime.artifact import MANIFEST_VERSION

MIN_LIBRARY = "0.1.0"


def describe(
    layers: Sequence[LayerReport],
    examples: Mapping[str, torch.Tensor],
    stored: Mapping[str, bytes],
    min_engine: Mapping[str, str],
    fallback: str,
) -> str:
    """Return the manifest; of the example inputs, types and shapes; of stored tensors, digests."""
    manifest = {
        "manifest": MANIFEST_VERSION,
        "smalti": version("smalti"),
        "min_library": MIN_LIBRARY,
        "min_engine": min_engine,
        "fallback": fallback,
        "inputs": {name: _kind(array) for name, array in examples.items()},
        "layers": [asdict(layer) for layer in layers],
        "tensors": {name: hashlib.sha256(data).hexdigest() for name, data in stored.items()},
    }
    return json.dumps(manifest, separators=(",", ":"))


def argument_names(module: torch.nn.Module, count: int) -> list[str]:
    """Return the names of the first `count` arguments of `forward`."""
    return list(inspect.signature(module.forward).parameters)[:count]


def _kind(array: torch.Tensor) -> dict[str, Any]:
    return {"dtype": str(array.numpy().dtype), "shape": list(array.shape)}
