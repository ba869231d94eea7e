"""The Hessians of a model's layers while they are being summed, in memory and in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from smalti.quant.hessian import Hessian
from smalti.runtime.errors import FileError

Hessians = dict[str, Hessian]


def is_observed(layer: nn.Module) -> bool:
    """Whether a layer has a weight that smalti may quantize."""
    if type(layer) not in (nn.Linear, nn.Embedding, nn.Conv2d):
        return False
    grouped = isinstance(layer, nn.Conv2d) and layer.groups > 1
    return not grouped and not next(layer.parameters()).is_complex()


def layer_inputs(layer: nn.Module, x: Tensor) -> Tensor | None:
    """Inputs as (samples, tokens, n); None for an Embedding, whose inputs are one-hot.

    The positions of a convolution are its tokens, and its patches their values.
    """
    if isinstance(layer, nn.Embedding):
        return None
    if isinstance(layer, nn.Conv2d):
        return _patches(layer, x)
    return x.reshape(len(x), -1, x.shape[-1]).clone()


def _patches(conv: nn.Conv2d, x: Tensor) -> Tensor:
    top, left, bottom, right = conv_pads(conv)
    padded = nn.functional.pad(x, (left, right, top, bottom))
    found = nn.functional.unfold(padded, conv.kernel_size, conv.dilation, 0, conv.stride)
    return found.mT


def conv_pads(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Top, left, bottom, right; `same` pads the smaller half in front, as Torch does."""
    if conv.padding == "valid":
        return 0, 0, 0, 0
    if isinstance(conv.padding, str):
        high, wide = (d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
        return high // 2, wide // 2, high - high // 2, wide - wide // 2
    high, wide = (int(p) for p in conv.padding)
    return high, wide, high, wide


def _output_gradients(layer: nn.Module, g: Tensor) -> Tensor:
    """(samples, tokens, m)."""
    if isinstance(layer, nn.Conv2d):
        return g.flatten(2).mT
    return g.reshape(len(g), -1, g.shape[-1])


@dataclass
class Sums:
    """Hessians so far (`now`), those of the pass before, and how many batches are in them."""

    now: Hessians = field(default_factory=dict)
    before: Hessians = field(default_factory=dict)
    done: int = 0

    def of(self, name: str, layer: nn.Module, two_sided: bool) -> Hessian:
        """Return the sums of a layer."""
        if name not in self.now:
            rows, columns = next(layer.parameters()).flatten(1).shape
            self.now[name] = Hessian.zeros(rows, columns, two_sided)
        return self.now[name]

    def add_inputs(self, name: str, layer: nn.Module, x: Tensor) -> None:
        """Add the second moment of inputs (samples, tokens, n)."""
        self.of(name, layer, two_sided=False).add_inputs(x.flatten(0, 1))

    def add(self, name: str, layer: nn.Module, x: Tensor | None, g: Tensor, sketch: str) -> None:
        """Add inputs and the gradients of the outputs, by sketch A or B."""
        g = _output_gradients(layer, g)
        if x is None:  # rows are looked up, not multiplied: their columns are the outputs
            self.of(name, layer, two_sided=False).add_lookups(g, len(next(layer.parameters())))
        elif sketch == "A":
            hessian = self.of(name, layer, two_sided=True)
            hessian.add_tokens(x.flatten(0, 1), g.flatten(0, 1), self.before.get(name))
        else:
            self.of(name, layer, two_sided=True).add_samples(x, g)

    def save(self, path: Path) -> None:
        """Write beside, then rename."""
        draft = path.with_name(f".{path.name}.draft")
        tensors = {
            f"{when}/{name}/{part}": tensor.contiguous()
            for when, hessians in (("now", self.now), ("before", self.before))
            for name, hessian in hessians.items()
            for part, tensor in hessian.pack().items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, draft, {"done": str(self.done)})
        os.replace(draft, path)

    @classmethod
    def load(cls, path: Path) -> Sums:
        """Read what `save` has written.

        Raises:
            FileError: the file is none of ours.
        """
        parts: dict[tuple[str, str], dict[str, Tensor]] = {}
        try:
            with safe_open(path, "pt") as file:
                done = int(file.metadata()["done"])
                for key in file.keys():  # noqa: SIM118 - no mapping
                    when, name, part = key.split("/")
                    parts.setdefault((when, name), {})[part] = file.get_tensor(key)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise FileError(f"{path}: no sums of Hessians ({error}); delete it") from None
        found = cls(done=done)
        for (when, name), stored in parts.items():
            (found.now if when == "now" else found.before)[name] = Hessian.unpack(stored)
        return found


def all_finite(hessian: Hessian) -> bool:
    """Whether no sum is NaN or infinite."""
    return bool(torch.isfinite(hessian.inputs).all())
