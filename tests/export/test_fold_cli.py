"""`smalti plan` and `smalti export` fold first."""

import json

import pytest
from test_cli import smalti

RECIPE = """
import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal

class LoRA(nn.Module):
    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))

def model():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), LoRA(nn.Linear(128, 64), 4), nn.ReLU(),
        orthogonal(nn.Linear(64, 64)), nn.ReLU(), LowRank(),
    )
    module(torch.randn(16, 8, 8, 8))
    return module

class LowRank(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Linear(64, 4), nn.Linear(4, 48)

    def forward(self, x):
        return self.up(self.down(x))

def example_inputs():
    return (torch.randn(2, 8, 8, 8),)
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("folds") / "recipe.py"
    path.write_text(RECIPE)
    return path


def test_export_folds_and_says_so(recipe, tmp_path):
    done = json.loads(
        smalti("export", recipe, "--format", "vq-2x256", "-o", tmp_path / "q.onnx", "--fallback",
               "none", "--json")
    )  # fmt: skip
    formats = {layer["name"]: layer["format"] for layer in done["layers"]}
    assert {n: formats[n].partition("-g")[0] for n in "057"} == dict.fromkeys("057", "vq-2x256")
    folds = {fold["name"]: fold for fold in done["folds"]}
    assert {n: f["kind"] for n, f in folds.items() if not f["reason"]} == {
        "1": "batch norm",
        "5": "affine module",
        "7": "parametrization",
    }
    assert "smaller than a dense matrix" in folds["9"]["reason"]
    assert done["errors"][0] < 5e-2


def test_the_table_counts_folds_and_names_what_stays(recipe, tmp_path):
    shown = smalti("export", recipe, "--format", "float", "-o", tmp_path / "f.onnx")
    kinds = ("parametrization", "affine module", "batch norm")
    assert "folded: " + ", ".join(f"1 {kind}" for kind in kinds) in shown
    assert "not folded: affine module 9: its parts are smaller" in shown


def test_a_plan_names_folded_layers(recipe):
    shown = json.loads(
        smalti("plan", recipe, "--bits", "8", "--dry-run", "--jobs", 1, "--rounding", "nearest",
               "--format", "vq-2x256", "--json")
    )  # fmt: skip
    assert {layer["layer"] for layer in shown["layers"]} == {"0", "5", "7", "9.down", "9.up"}
    assert len(shown["folds"]) == 4
