"""Runs a model over calibration data and collects the Hessians of its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smalti.quant.hessian import Hessian
from smalti.quant.modes import evaluating, frozen
from smalti.quant.sums import Hessians, Sums, all_finite, is_observed, layer_inputs
from smalti.runtime.errors import SmaltiError

Batch = tuple[Tensor, ...]
Progress = Callable[[int], None]
SKETCHES = ("A", "B", "inputs")
LOSSES = ("values", "logits")
_SAVE_EVERY = 16  # batches


class CalibrationError(SmaltiError, ValueError):
    """Calibration data that the model cannot use."""

    exit_code = 2


def estimate(
    module: nn.Module,
    batches: Iterable[Batch],
    *,
    sketch: str = "B",
    loss: str = "values",
    passes: int = 1,
    save_to: Path | None = None,
    progress: Progress = lambda batch: None,
) -> Hessians:
    """Collect the Hessians of all Linear, Conv2d and Embedding layers.

    batches: positional arguments of the module, the samples along their first axis. sketch: `B`
    takes gradients a sample; `A` gradients a token, and wants two passes or more; `inputs` takes
    second moments of the inputs, without gradients. loss: `values` for 1/2 ||f - f'||^2 of the
    outputs; `logits` for the Kullback-Leibler divergence of their softmax along the last axis.
    save_to: a file for the sums; where it exists, they go on from there.

    Raises:
        CalibrationError: no data, or data that gives NaN; an unknown sketch or loss.
    """
    _check(sketch, loss)
    batches = list(batches)
    if not batches:
        raise CalibrationError("no calibration data; give at least one batch")
    sums = Sums.load(save_to) if save_to and save_to.exists() else Sums()
    count = passes * len(batches)
    with _observed(module, sums, sketch):
        for index in range(sums.done, count):
            if sketch == "A" and index % len(batches) == 0:
                sums.before, sums.now = sums.now, {}
            _see(module, batches[index % len(batches)], sketch, loss, index)
            sums.done = index + 1
            progress(sums.done)
            if save_to and (sums.done % _SAVE_EVERY == 0 or sums.done == count):
                sums.save(save_to)
    _check_finite(sums.now)
    # As a file would give them back: exactly symmetric, so that later steps see the same numbers.
    return {name: Hessian.unpack(hessian.pack()) for name, hessian in sums.now.items()}


def _check(sketch: str, loss: str) -> None:
    if sketch not in SKETCHES:
        raise CalibrationError(f"sketch={sketch!r}; use one of {', '.join(SKETCHES)}")
    if loss not in LOSSES:
        raise CalibrationError(f"loss={loss!r}; use one of {', '.join(LOSSES)}")


def _check_finite(hessians: Hessians) -> None:
    for name, hessian in hessians.items():
        if not all_finite(hessian):
            raise CalibrationError(f"layer {name}: calibration gives NaN or infinite values")


def _see(module: nn.Module, batch: Batch, sketch: str, loss: str, index: int) -> None:
    """Run one batch forward, and backward where the sketch needs it."""
    if sketch == "inputs":
        with torch.no_grad():
            module(*batch)
        return
    generator = torch.Generator().manual_seed(index)
    with torch.enable_grad():
        outputs = [o for o in tensors(module(*batch)) if o.requires_grad]
        if not outputs:
            raise CalibrationError("no output depends on a weight; sketch='inputs' needs none")
        torch.stack([_score(o, loss, generator) for o in outputs]).sum().backward()


def tensors(outputs: Any) -> Iterator[Tensor]:
    """Give the tensors of a module's outputs, in order."""
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, Mapping):
        yield from (t for o in outputs.values() for t in tensors(o))
    elif isinstance(outputs, list | tuple):
        yield from (t for o in outputs for t in tensors(o))


def _score(output: Tensor, loss: str, generator: torch.Generator) -> Tensor:
    """A scalar whose gradients have the loss's curvature as their second moment."""
    if loss == "values":
        return (output * torch.randn(output.shape, generator=generator)).sum()
    logits = output.flatten(0, -2).log_softmax(-1)
    labels = torch.multinomial(logits.detach().exp(), 1, generator=generator)
    return -logits.gather(1, labels).sum()


@contextmanager
def _observed(module: nn.Module, sums: Sums, sketch: str) -> Iterator[None]:
    """Hook the layers of a module in evaluation mode."""
    with ExitStack() as undo:
        undo.enter_context(evaluating(module))
        undo.enter_context(frozen(module))
        for name, layer in module.named_modules():
            if is_observed(layer):
                hook = partial(_on_forward, sums, name, sketch)
                undo.callback(layer.register_forward_hook(hook).remove)
        yield


def _on_forward(
    sums: Sums, name: str, sketch: str, layer: nn.Module, args: tuple[Tensor, ...], output: Tensor
) -> Tensor | None:
    """Add a layer's inputs now, or with their gradients once those arrive."""
    x = layer_inputs(layer, args[0].detach())
    if sketch == "inputs":
        if x is not None:
            sums.add_inputs(name, layer, x)
        return None
    output.requires_grad_()
    output.register_hook(lambda g: sums.add(name, layer, x, g, sketch))
    return output.clone()  # the next layer may work in place, which a leaf does not allow
