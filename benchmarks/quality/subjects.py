"""The models that are quantized, and how far from fp32 they are afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from smalti.models import fashion, minilm
from smalti.quant.observe import Batch
from smalti.quant.sums import is_observed
from smalti.quant.training import Batches

# Drop: 1 - mean cosine, or mean KL divergence. Score: Spearman on STS-B's test part, or accuracy.
Result = dict[str, float]


class Subject(Protocol):
    """A model, which of its layers are quantized, and its metric."""

    @property
    def name(self) -> str: ...
    @property
    def pattern(self) -> str: ...
    @property
    def loss(self) -> str: ...
    def model(self) -> nn.Module: ...
    def calibration(self) -> list[Batch]: ...
    def measure(self, module: nn.Module) -> Result: ...


def layers(subject: Subject, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers to be quantized: the encoder's, or all but a stem of nine columns."""
    for name, layer in module.named_modules():
        wide = is_observed(layer) and next(layer.parameters())[0].numel() >= 32
        if wide and name.startswith(subject.pattern):
            yield name, layer


@dataclass(frozen=True)
class MiniLM:
    """36 Linears of a sentence encoder; calibrated on STS-B's dev part, measured on its test."""

    name: str = "minilm"
    pattern: str = "bert.encoder"
    loss: str = minilm.loss

    def model(self) -> nn.Module:
        return minilm.model()

    def calibration(self) -> list[Batch]:
        return list(minilm.calibration())

    def measure(self, module: nn.Module) -> Result:
        found = self._embed(module)
        cosine = (found * self._expected).sum(1)
        first, second, score = self._pairs
        at = {s: i for i, s in enumerate(self._sentences)}
        a, b = found[[at[s] for s in first]], found[[at[s] for s in second]]
        spearman = minilm.spearman((a * b).sum(1), score)
        return {"drop": float(1 - cosine.mean()), "score": spearman}

    def _embed(self, module: nn.Module) -> Any:
        def run(*arrays: Any) -> list[Any]:
            with torch.inference_mode():
                return [module(*map(torch.from_numpy, arrays)).numpy()]

        return minilm.encode(run, self._sentences, batch=64)

    @cached_property
    def _pairs(self) -> tuple[tuple[str, ...], tuple[str, ...], Any]:
        path = minilm.stsb_file()
        if path is None:
            raise FileNotFoundError("needs STS-B: set SMALTI_DATA to the folder of stsb-en/")
        return minilm.stsb_pairs(path)

    @cached_property
    def _sentences(self) -> list[str]:
        first, second, _ = self._pairs
        return sorted({*first, *second})

    @cached_property
    def _expected(self) -> Any:
        return self._embed(self.model())


@dataclass(frozen=True)
class Fashion:
    """A convolutional net; calibrated on 512 training images, measured on the 10000 test images."""

    name: str = "fashion"
    pattern: str = ""
    loss: str = fashion.loss

    def model(self) -> nn.Module:
        return fashion.model()

    def calibration(self) -> list[Batch]:
        return list(fashion.calibration())

    def training_batches(self) -> Batches:
        """Return the training images, 256 at a time."""
        return fashion.training_batches(256)

    def measure(self, module: nn.Module) -> Result:
        p, q = self._expected.log_softmax(-1), self._logits(module).log_softmax(-1)
        right = np.mean(q.argmax(1).numpy() == self._test[1])
        return {"drop": float((p.exp() * (p - q)).sum(1).mean()), "score": float(right)}

    def _logits(self, module: nn.Module) -> Tensor:
        images = torch.from_numpy(self._test[0])
        with torch.inference_mode():
            return torch.cat([module(part) for part in images.split(250)])

    @cached_property
    def _test(self) -> tuple[Any, Any]:
        return fashion.load("t10k")

    @cached_property
    def _expected(self) -> Tensor:
        return self._logits(self.model())


SUBJECTS: dict[str, Subject] = {"minilm": MiniLM(), "fashion": Fashion()}
