"""Fine-tunes what a quantized module keeps in float, against the float module, with codes fixed.

After QuIP# (Tseng et al. 2024), section 5. Grids stay too: they are int8 tables that all layers of
a format share, so no layer may train them as its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from smalti.quant.block import BlockWeight, unpack_block
from smalti.quant.block_layers import BlockConv2d, BlockEmbedding, BlockLinear
from smalti.quant.layers import VQConv2d, VQEmbedding, VQLinear
from smalti.quant.modes import evaluating
from smalti.quant.observe import LOSSES
from smalti.runtime.errors import SmaltiError
from smalti.runtime.ops.dequantize import dequantize, group_width
from smalti.runtime.ops.hadamard_transform.op import hadamard
from smalti.runtime.rotation import signs

Batch = tuple[Tensor, ...]
Progress = Callable[[int, float], None]
_Multiplies = VQLinear | VQConv2d | BlockLinear | BlockConv2d
_LOOKS_UP = (VQEmbedding, BlockEmbedding)
_HELD_OUT = 10  # one batch in so many says which epoch was the best
_VECTORS = 0.1  # learning rate of biases and norms, as a part of that of the scales


class RefinementError(SmaltiError, ValueError):
    """Data or settings that refinement cannot use."""

    exit_code = 2


def refine_(
    module: nn.Module,
    reference: nn.Module,
    batches: Iterable[Batch],
    *,
    epochs: int = 4,
    learning_rate: float = 1e-2,
    loss: str = "values",
    progress: Progress = lambda epoch, held_out: None,
) -> list[float]:
    """Fit the scales, biases and norms of a quantized module in place, by Adam down a cosine.

    reference: the float module. batches: positional arguments of both, the samples along their
    first axis; a tenth is held out. learning_rate: of a factor, at first 1, on every scale;
    parameters of one axis take a tenth of it. loss: `values` for 1/2 ||f - f'||^2 of a sample's
    output; `logits` for the Kullback-Leibler divergence of softmax along the last axis.
    `progress(epoch, held_out_loss)` is called after each epoch.

    Both modules run in evaluation mode. Scales of tables and of what is tied to them stay, and so
    do scales of one byte (mxfp4, nvfp4). Activations are rounded only where the held-out loss is
    measured: on the module as it would be stored.

    Returns:
        The held-out loss before, and after every epoch. The module keeps the best of these states.

    Raises:
        RefinementError: fewer than two batches; a loss that is NaN or infinite; an unknown loss;
            parameters that both modules share. The module stays as it was, as after any exception.
    """
    batches = list(batches)
    _check(module, reference, batches, loss)
    step = min(_HELD_OUT, len(batches))
    held = batches[step // 2 :: step]
    seen = [batch for i, batch in enumerate(batches) if i % step != step // 2]
    with evaluating(module), evaluating(reference):
        student, task = _Student(module), _Task(reference, loss, learning_rate)
        best, losses = student.stored(), [task.held_out(student, held)]
        for epoch in _epochs(student, task, seen, epochs):
            losses.append(task.held_out(student, held))
            if losses[-1] < min(losses[:-1]):
                best = student.stored()
            progress(epoch, losses[-1])
    student.write(best)
    return losses


def _check(module: nn.Module, reference: nn.Module, batches: Sequence[Batch], loss: str) -> None:
    if loss not in LOSSES:
        raise RefinementError(f"loss={loss!r}; use one of {', '.join(LOSSES)}")
    if len(batches) < 2:
        raise RefinementError(
            f"{len(batches)} batches to refine with; give at least two, one is held out"
        )
    shared = {id(p) for p in reference.parameters()}
    for name, parameter in module.named_parameters():
        if id(parameter) in shared:
            raise RefinementError(
                f"the reference shares {name} with the module; quantize a copy.deepcopy of it"
            )


class _Student:
    """Stand-ins for what is trained; the module has its own values until `write`."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.own = dict(module.named_parameters()) | dict(module.named_buffers())
        self.vectors = {n: _leaf(p) for n, p in module.named_parameters() if p.dim() == 1}
        kept = {id(m.scales) for m in module.modules() if isinstance(m, _LOOKS_UP)}
        layers = [m for m in module.modules() if isinstance(m, _Multiplies)]
        trained = {id(m.scales) for m in layers if m.scales.is_floating_point()} - kept
        # By name, so that layers which share their scales share the factors, too.
        self.factors = {
            n: _leaf(torch.ones_like(s, dtype=torch.float32))
            for n, s in module.named_buffers()
            if id(s) in trained
        }
        by_scales = {id(self.own[name]): factor for name, factor in self.factors.items()}
        self.forwards = {m: _forward(m, by_scales.get(id(m.scales))) for m in layers}

    def outputs(self, batch: Batch) -> Tensor:
        """Run with gradients, by decoded weights and float activations."""
        with _patched(self.forwards):
            return _single(functional_call(self.module, self.vectors, batch))

    @torch.no_grad()
    def stored_outputs(self, batch: Batch) -> Tensor:
        """Run as the module would, were the present values written."""
        return _single(functional_call(self.module, self.stored(), batch))

    @torch.no_grad()
    def stored(self) -> dict[str, Tensor]:
        """Return copies of parameters and scales, rounded as the file has them."""
        found = {name: vector.detach().clone() for name, vector in self.vectors.items()}
        for name, factor in self.factors.items():
            scales = self.own[name]
            top = torch.finfo(scales.dtype).max
            found[name] = (scales * factor).clamp(-top, top).to(scales.dtype)
        return found

    @torch.no_grad()
    def write(self, values: dict[str, Tensor]) -> None:
        """Overwrite in place, so that what is tied stays tied."""
        for name, value in values.items():
            self.own[name].copy_(value)


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


@contextmanager
def _patched(forwards: dict[_Multiplies, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    with ExitStack() as undo:
        for layer, forward in forwards.items():
            vars(layer)["forward"] = forward  # before the class's, as an attribute
            undo.callback(delattr, layer, "forward")
        yield


def _forward(layer: _Multiplies, factor: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Return a layer's forward with gradients: the operators of quantized layers have none."""
    return partial(_run, layer, _decoded(layer), factor)


def _decoded(layer: _Multiplies) -> Tensor:
    """Return the stored weight (rows, columns): where it was rotated, it still is."""
    if isinstance(layer, BlockLinear | BlockConv2d):
        packed = (layer.codes, layer.scales, layer.zero_points, layer.unit)
        return unpack_block(BlockWeight(layer.format, layer.rows, layer.columns, *packed, 0.0))
    h = layer.header
    return dequantize(layer.codes, layer.scales, layer.grid, h.rows, h.columns) * layer.step


def _run(layer: _Multiplies, weight: Tensor, factor: Tensor | None, x: Tensor) -> Tensor:
    """Compute y = x W^T + bias, W with its scales multiplied by factors of the same shape."""
    x = x.to(torch.float32)
    if factor is not None:
        weight = weight * _spread(layer, factor, weight.shape)
    if isinstance(layer, VQLinear | VQConv2d):  # weights are fewer than activations to turn
        flips = torch.from_numpy(signs(layer.header.seed, layer.header.columns)).to(weight)
        weight = hadamard(weight, layer.header.block) * flips
    if isinstance(layer, VQConv2d):
        top, left, bottom, right = layer.pads
        kernels = weight.reshape(len(weight), -1, *layer.kernel)
        x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, kernels, layer.bias, layer.stride, 0, layer.dilation)
    if isinstance(layer, BlockConv2d):
        return functional.conv2d(x, weight.reshape(layer.shape), layer.bias, **layer.options)
    return functional.linear(x, weight, layer.bias)


def _spread(layer: _Multiplies, factor: Tensor, shape: torch.Size) -> Tensor:
    """Repeat factors, in the layout of scales, for all weights (rows, columns)."""
    rows, columns = shape
    if isinstance(layer, BlockLinear | BlockConv2d):
        width = layer.format.group
    else:
        factor = factor.transpose(1, 2).flatten(0, 1)[:rows]
        width = group_width(columns, factor.shape[1])
    return factor.unsqueeze(-1).expand(-1, -1, width).flatten(1)[:, :columns]


class _Task:
    """What the student should give, and how far it is from it."""

    def __init__(self, reference: nn.Module, loss: str, learning_rate: float) -> None:
        self.reference, self.loss, self.learning_rate = reference, loss, learning_rate

    def distance(self, found: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch's outputs, a scalar."""
        with torch.no_grad():
            expected = _single(self.reference(*batch))
        if self.loss == "values":
            return 0.5 * (found - expected).square().sum() / len(found)
        logs = found.flatten(0, -2).log_softmax(-1), expected.flatten(0, -2).log_softmax(-1)
        return functional.kl_div(*logs, reduction="batchmean", log_target=True)

    def held_out(self, student: _Student, batches: Sequence[Batch]) -> float:
        """Mean over batches, of what would be stored."""
        values = [self.distance(student.stored_outputs(b), b) for b in batches]
        return self.checked(torch.stack(values).mean())

    def checked(self, loss: Tensor) -> float:
        """Refuse a loss that is not finite."""
        if not isfinite(loss):
            raise RefinementError(
                f"the loss is {float(loss)}; lower the learning rate ({self.learning_rate:g}), "
                "or look for NaN in the data"
            )
        return float(loss)


def _single(output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise RefinementError(
            f"the module returns {type(output).__name__}; wrap it to return one tensor"
        )
    return output


def _epochs(student: _Student, task: _Task, batches: list[Batch], count: int) -> Iterator[int]:
    """Train, and yield after each epoch its number from 1; the order is the same every time."""
    vectors, factors = list(student.vectors.values()), list(student.factors.values())
    if not vectors + factors:
        raise RefinementError("nothing to refine: no scales, biases or norms are in float")
    groups = [
        {"params": factors, "lr": task.learning_rate},
        {"params": vectors, "lr": task.learning_rate * _VECTORS},
    ]
    adam = torch.optim.Adam([g for g in groups if g["params"]])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, count * len(batches))
    for epoch in range(1, count + 1):
        order = torch.randperm(len(batches), generator=torch.Generator().manual_seed(epoch))
        for index in order.tolist():
            with torch.enable_grad():
                loss = task.distance(student.outputs(batches[index]), batches[index])
                task.checked(loss.detach())
                gradients = torch.autograd.grad(loss, vectors + factors, allow_unused=True)
            for leaf, gradient in zip(vectors + factors, gradients, strict=True):
                leaf.grad = gradient
            adam.step()
            cosine.step()
        yield epoch
