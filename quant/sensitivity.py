"""What every layer loses in every format: the costs that a plan chooses from.

Linearity (Malinovskii et al. 2024, theorem 1): small, unrelated errors of layers add up in the
loss. So each layer is rounded in each format alone, and its error weighed by its Hessian.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from smalti.quant.apply import Progress
from smalti.quant.budget import Choice
from smalti.quant.hessian import Hessian
from smalti.quant.jobs import Task, quantize_all
from smalti.quant.plan import FLOAT
from smalti.quant.rounding.curvature import Curvature
from smalti.quant.targets import layers_with_weights, weight_of, why_not
from smalti.runtime.format import AnyFormat

LINEAR_BELOW = 0.035  # ||W' - W||^2 / ||W||^2, about 3 bits: beyond, errors no longer add up


@dataclass(frozen=True)
class Cost:
    """A way to store a layer; error: ||W' - W||^2 / ||W||^2."""

    choice: Choice
    error: float


def slope(weight: Tensor, hessian: Hessian) -> float:
    """Loss for each unit of relative squared error, if that error had no direction.

    weight: (m, n). With sketch B it is 1/2 E||G||^2 ||W||^2 / (m n), G a sample's gradient.
    """
    inputs = Curvature.of(hessian, adapts_bias=True).inputs
    return 0.5 * float(inputs.trace() * weight.square().mean())


def costs(
    module: nn.Module,
    formats: Sequence[AnyFormat],
    hessians: Mapping[str, Hessian],
    *,
    rounding: str,
    jobs: int = 1,
    resume: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, list[Cost]]:
    """Round every layer in every format it can have; by layer, the ways to store it.

    The last way is always float, without loss. Layers that share a weight stand once, by the name
    of the first; layers without a Hessian are left out.
    """
    layers = {name: layer for name, layer in _distinct(module) if name in hessians}
    tasks = [
        Task(name, layer, form, rounding)
        for name, layer in layers.items()
        for form in formats
        if not why_not(layer, form)
    ]
    found: dict[str, list[Cost]] = {name: [] for name in layers}
    results = quantize_all(tasks, hessians, jobs, resume)
    for i, (task, result) in enumerate(zip(tasks, results, strict=True)):
        choice = Choice(str(task.form), result.weight.bytes, max(result.drop, 0.0))
        found[task.name].append(Cost(choice, result.weight.error))
        if progress:
            progress(task.name, i, len(tasks))
    for name, layer in layers.items():
        found[name].append(Cost(Choice(FLOAT, weight_of(layer).nbytes, 0.0), 0.0))
    return found


def _distinct(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    seen = set()
    for name, layer in layers_with_weights(module):
        if id(weight_of(layer)) not in seen:
            seen.add(id(weight_of(layer)))
            yield name, layer
