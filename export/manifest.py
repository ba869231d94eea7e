"""What an exported file says of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import onnx_ir as ir
import torch

from smalti.quant.apply import LayerReport
from smalti.runtime.artifact import MANIFEST_KEY, MANIFEST_VERSION

MIN_LIBRARY = "0.1.0"
MIN_ENGINE = {"native": "onnxruntime 1.19", "fallback": "onnxruntime 1.27"}


def add_manifest(
    model: ir.Model,
    layers: Sequence[LayerReport],
    fallback: str,
    examples: dict[str, torch.Tensor],
) -> None:
    """Write the manifest into the model's metadata; of the example inputs, types and shapes."""
    manifest = {
        "manifest": MANIFEST_VERSION,
        "smalti": version("smalti"),
        "min_library": MIN_LIBRARY,
        "min_engine": MIN_ENGINE,
        "fallback": fallback,
        "inputs": {n: _kind(a) for n, a in examples.items()},
        "layers": [asdict(layer) for layer in layers],
        "tensors": {name: _sha256(value) for name, value in model.graph.initializers.items()},
    }
    model.metadata_props[MANIFEST_KEY] = json.dumps(manifest, separators=(",", ":"))


def _kind(array: torch.Tensor) -> dict[str, Any]:
    return {"dtype": str(array.numpy().dtype), "shape": list(array.shape)}


def _sha256(value: ir.Value) -> str:
    assert value.const_value is not None
    return hashlib.sha256(value.const_value.tobytes()).hexdigest()
