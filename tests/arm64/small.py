"""A small model with quantized layers and interpolating operators, for both engines."""

from pathlib import Path

import torch
from torch import nn

from smalti.export import export_onnx
from smalti.export.tflite import export_tflite
from smalti.quant import quantize_
from smalti.runtime.ops.grid_sample.op import grid_sample
from smalti.runtime.ops.resize.op import CUBIC, resize


class Small(nn.Module):
    """Looks up tokens, mixes them, and warps what comes out as an image of 8 x 8."""

    def __init__(self, middle: nn.Module) -> None:
        super().__init__()
        self.middle = middle
        self.table = nn.Embedding(70, 128)
        self.mix, self.image = nn.Linear(128, 256), nn.Linear(256, 192)

    def forward(self, tokens: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        hidden = self.middle(self.mix(self.table(tokens)))
        image = self.image(hidden).reshape(2, 3, 8, 8)
        warped = grid_sample.call(image, grid, 0, 1, False, False)
        return resize.call(warped, [9, 7], CUBIC, True, False)


def example() -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    return torch.tensor([3, 69]), 2.4 * torch.rand(2, 6, 5, 2) - 1.2


def write(path: Path, middle: nn.Module | None = None, activations: str = "int8") -> None:
    """Export it to the engine that the file's ending names; `middle` is GELU by default."""
    torch.manual_seed(0)
    module = Small(middle or nn.GELU()).eval()
    formats = {"table": "vq-1x16", "mix": "vq-2x64-g128", "image": "vq-2x256"}
    layers = quantize_(module, formats, activations=activations)
    export = export_onnx if path.suffix == ".onnx" else export_tflite
    export(module, example(), path, layers=layers)
