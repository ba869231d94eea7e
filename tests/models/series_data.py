"""A made-up series for the recipes of forecasts, and what is to hold for each of them."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from smalti.export import export_onnx, export_tflite, fold_
from smalti.models import series
from smalti.runtime import Session


def waves(hours: int, channels: int) -> np.ndarray:
    """Days and half days in mixtures, and noise."""
    rng = np.random.default_rng(0)
    angles = 2 * np.pi / 24 * np.arange(hours)[:, None]
    parts = np.concatenate([np.sin(angles), np.cos(angles), np.sin(2 * angles)], 1)
    mixed = parts @ rng.standard_normal((3, channels))
    return 5 + mixed + 0.3 * rng.standard_normal((hours, channels))


def store_etth1(readings: np.ndarray, folder: Path) -> None:
    """As ETTh1.csv: a heading, a date and seven columns."""
    rows = [f"2016-07-01 {i},{','.join(map(str, row))}" for i, row in enumerate(readings.tolist())]
    (folder / "ett").mkdir()
    (folder / "ett" / "ETTh1.csv").write_text("\n".join(["date,A,B,C,D,E,F,OT", *rows]) + "\n")


def torch_run(module: nn.Module) -> series.Run:
    """The module as evaluate() calls it."""
    return lambda x: [module(torch.from_numpy(x)).detach().numpy()]


def check_in_both_engines(recipe: ModuleType, module: nn.Module, folder: Path) -> None:
    """Folded and exported, it scores in ONNX Runtime and in LiteRT as it does in Torch."""
    wanted = recipe.evaluate(torch_run(module), 500)["mse"]
    inputs = recipe.example_inputs()
    assert not [row.reason for row in fold_(module, inputs) if row.reason]
    shapes = recipe.dynamic_shapes()
    assert max(export_onnx(module, inputs, folder / "m.onnx", dynamic_shapes=shapes)) < 1e-4
    found = Session(folder / "m.onnx", threads=1)
    assert recipe.evaluate(found.run, 500)["mse"] == pytest.approx(wanted, rel=1e-4)
    assert max(export_tflite(module, inputs, folder / "m.tflite")) < 1e-4
    found = Session(folder / "m.tflite", threads=1)
    assert recipe.evaluate(found.run)["mse"] == pytest.approx(wanted, rel=1e-4)
