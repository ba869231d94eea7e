"""A small real model with every kind of layer, exported once for all tests here."""

from pathlib import Path

import pytest
import torch
from torch import nn

RECIPE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(64, 48)
        self.norm = nn.LayerNorm(48)
        self.conv = nn.Conv2d(1, 32, 5, padding=2)
        self.hidden = nn.Linear(48 * 32, 128)
        self.head = nn.Linear(128, 10, bias=False)

    def forward(self, tokens):
        x = self.norm(self.embed(tokens))
        x = torch.relu(self.conv(x.unsqueeze(1))).mean(2)
        return self.head(torch.tanh(self.hidden(x.flatten(1))))

def model():
    return Net().eval()

def example_inputs():
    return (torch.arange(12).reshape(2, 6),)

def dynamic_shapes():
    return ({0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")},)
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.py"
    path.write_text(RECIPE)
    return path


def quantized(recipe: Path, form: str, activations: str) -> tuple[nn.Module, list]:
    from smalti.export.recipe import load_recipe
    from smalti.quant import quantize_

    module = load_recipe(str(recipe)).model()
    return module, quantize_(module, form, activations=activations)


@pytest.fixture(scope="session")
def exported(recipe, tmp_path_factory):
    """Files and modules by (format, activations, fallback), made when first asked for."""
    from smalti.export import export_onnx
    from smalti.export.recipe import load_recipe

    made = {}
    folder = tmp_path_factory.mktemp("exported")

    def export(form="vq-2x64", activations="float", fallback="fold", **options):
        key = (form, activations, fallback, *options.items())
        if key not in made:
            module, layers = quantized(recipe, form, activations)
            path = folder / f"m{len(made)}.onnx"
            source = load_recipe(str(recipe))
            export_onnx(
                module,
                source.example_inputs(),
                path,
                layers=layers,
                dynamic_shapes=source.dynamic_shapes(),
                fallback=fallback,
                **options,
            )
            made[key] = path, module
        return made[key]

    return export


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(0, 64, (5, 9), generator=torch.Generator().manual_seed(1))
