"""Weights that a recipe trains once and keeps in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_model, save_model
from torch import nn

M = TypeVar("M", bound=nn.Module)


def trained(file: str, module: M, train: Callable[[M], None]) -> M:
    """Return the module with the weights of a file under SMALTI_CACHE (else build/).

    Without the file the module is trained first; delete the file to train again. Half-trained
    weights are never kept.

    Raises:
        RuntimeError: the file's weights are of another network.
    """
    path = Path(os.environ.get("SMALTI_CACHE", "build"), file)
    if not path.is_file():
        train(module)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        save_model(module, str(draft))
        os.replace(draft, path)
    load_model(module, path)
    return module.eval()
