"""A recipe's module through Torch and both engines, for tests."""

from pathlib import Path
from typing import Any

import torch

from smalti.export import export_onnx, export_tflite
from smalti.runtime import Session


def torch_run(module: torch.nn.Module) -> Any:
    """As a Session runs: arrays in, a list of arrays out."""

    def run(*arrays: Any) -> list[Any]:
        found = module(*map(torch.from_numpy, arrays))
        return [t.detach().numpy() for t in (found if isinstance(found, tuple) else (found,))]

    return run


def both_engines(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], folder: Path) -> Any:
    """Export to ONNX and TFLite; yield name and session of each."""
    for name, export in (("onnx", export_onnx), ("tflite", export_tflite)):
        export(module, inputs, folder / f"m.{name}")
        yield name, Session(folder / f"m.{name}", threads=1)
