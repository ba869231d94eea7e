"""Our rows: a plan, data or none, a rounding, and what may come after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.quality.subjects import Fashion, Subject, layers
from smalti.export.calibrate import calibrate
from smalti.export.recipe import load_recipe
from smalti.quant import LayerReport, fake_quantize_, quantize_, refine_
from smalti.quant.layers import VQLinear
from smalti.quant.observe import Batch
from smalti.quant.planner import Budget, make_plan
from smalti.quant.sensitivity import costs
from smalti.quant.sums import Hessians
from smalti.quant.training import fine_tune
from smalti.runtime.format import parse_format
from smalti.runtime.ops.dequantize import dequantize, quantize_activations
from smalti.runtime.ops.hadamard_transform.op import hadamard_transform

FORMATS = ("vq-4x256-g128", "vq-2x64-g128", "vq-2x256-g128")


@dataclass(frozen=True)
class Ours:
    """One row.

    form: a format for all layers, or bits a weight to plan for; data: none, random or recipe.
    """

    form: str | float
    rounding: str
    data: str
    refined: bool = False

    @property
    def name(self) -> str:
        """As the table shows it."""
        what = self.form if isinstance(self.form, str) else f"plan for {self.form} bits"
        data = {"none": "no data", "random": "made-up data", "recipe": "data"}[self.data]
        return f"{what} {self.rounding}, {data}{', refined' if self.refined else ''}"


@dataclass(frozen=True)
class Trained:
    """A row of quantization-aware training: one epoch against the float model's outputs."""

    form: str

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.form} trained for an epoch, data"


class Calibrations:
    """Batches and Hessians of a subject, collected once and kept in a folder."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.folder = subject, folder
        self._found: dict[str, tuple[list[Batch], Hessians]] = {}

    def of(self, data: str) -> tuple[list[Batch], Hessians]:
        """Return what `smalti export --data` would calibrate with."""
        if data not in self._found:
            recipe = load_recipe(f"smalti.models.{self.subject.name}")
            module = self.subject.model()
            found = calibrate(recipe, module, data, self.folder, lambda stage: None)
            self._found[data] = list(found.batches), found.hessians
        return self._found[data]


def quantized(row: Ours, subject: Subject, known: Calibrations) -> tuple[nn.Module, float]:
    """Return the module of a row, fast to run, and its real bits a quantized weight."""
    module = subject.model()
    names = [name for name, _ in layers(subject, module)]
    batches, hessians = known.of(row.data)
    chosen = {name: hessians[name] for name in names if name in hessians}
    keep = known.folder
    if isinstance(row.form, str):
        plan: Mapping[str, str] = dict.fromkeys(names, row.form)
    else:
        forms = [parse_format(form) for form in FORMATS]
        found = costs(module, forms, chosen, rounding=row.rounding, jobs=2, resume=keep)
        plan = make_plan(module, found, Budget(bits=row.form)).allocation.formats
    reports = quantize_(module, plan, chosen, rounding=row.rounding, jobs=2, resume=keep)
    if row.refined:
        refine_(module, subject.model(), batches, loss=subject.loss)
    return as_dense(module), _bits(reports, names)


def trained(row: Trained, subject: Fashion) -> tuple[nn.Module, float]:
    """Return the module of a row after training with the rounding on, and its bits."""
    module, teacher = subject.model(), subject.model()
    plan = dict.fromkeys([name for name, _ in layers(subject, module)], row.form)

    def loss(student: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad():
            expected = teacher(batch[0]).log_softmax(-1)
        found = student(batch[0]).log_softmax(-1)
        return nn.functional.kl_div(found, expected, reduction="batchmean", log_target=True)

    torch.manual_seed(0)
    with fake_quantize_(module, plan):
        fine_tune(module, subject.training_batches(), loss, epochs=1, learning_rate=1.5e-3)
    return module, _bits(quantize_(module, plan), list(plan))


def _bits(reports: Sequence[LayerReport], names: Sequence[str]) -> float:
    packed = [r for r in reports if r.format != "float" and r.name in names]
    return sum(8 * r.bytes for r in packed) / sum(torch.Size(r.shape).numel() for r in packed)


class Dense(nn.Module):
    """A VQLinear with its weight decoded, activations rounded as the kernel rounds them."""

    def __init__(self, layer: VQLinear) -> None:
        super().__init__()
        h = layer.header
        self.header, self.groups, self.bias = h, layer.scales.shape[1], layer.bias
        found = dequantize(layer.codes, layer.scales, layer.grid, h.rows, h.columns)
        self.weight = found * layer.step

    def forward(self, x: Tensor) -> Tensor:
        rotated = hadamard_transform.reference(x, self.header.block, self.header.seed)
        return quantize_activations(rotated, self.groups) @ self.weight.T + self.bias


def as_dense(module: nn.Module) -> nn.Module:
    """Put the fast form in place of every VQLinear."""
    for path, child in list(module.named_modules()):
        if isinstance(child, VQLinear):
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, Dense(child))
    return module
