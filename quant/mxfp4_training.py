"""Training with backward products in MXFP4 (Tseng, Yu, Park 2025, "Training LLMs with MXFP4").

Both operands of a product are rotated by a random Hadamard transform along the axis that is summed,
which spreads outliers, and rounded stochastically, which keeps gradients unbiased. Simulated: the
numbers are those of MXFP4, the arithmetic is float32. MXFP4: OCP Microscaling Formats 1.0, 2023.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from smalti.quant.modes import Removable
from smalti.runtime.ops.hadamard_transform.op import hadamard

BLOCK = 32  # elements that share a scale
ROTATION = 64  # order of the Hadamard transform
PRESCALE = 3 / 4  # a block's largest magnitude is below 8 in steps of its scale; E2M1 ends at 6
_TOP = 6.0  # the largest E2M1 number, 1.5 * 2^2


def _power_below(x: Tensor) -> Tensor:
    """floor(log2 x), exact; of zero, some number that is at most 0."""
    return torch.frexp(x).exponent - 1


def round_mxfp4(x: Tensor, *, stochastic: bool) -> Tensor:
    """Return x with each 32 values along the last axis rounded to E2M1 times a power of two.

    Nearest (ties to even) clips magnitudes above 6 steps. Stochastic rounding is unbiased for
    3/4 x, where nothing clips, so it returns MXFP4 numbers whose mean is 3/4 x.
    x: (..., n) float, finite; a last block may be shorter.
    """
    n = x.shape[-1]
    blocks = pad(x, (0, -n % BLOCK)).unflatten(-1, (-1, BLOCK))
    largest = blocks.abs().amax(-1, keepdim=True)
    # Below 2^-126 a step would be no normal float32; E8M0 itself goes down to 2^-127.
    exponent = (_power_below(largest) - 2).clamp(-126, 127)
    steps = torch.ldexp(blocks, -exponent)
    rounded = _stochastic_e2m1(steps * PRESCALE) if stochastic else _nearest_e2m1(steps)
    return torch.ldexp(rounded, exponent).flatten(-2)[..., :n]


def _spacing(x: Tensor) -> Tensor:
    """Distance of E2M1 numbers around x: 1/2 below 2, 1 below 4, 2 from there on."""
    return torch.ldexp(torch.full_like(x, 0.5), _power_below(x.abs()).clamp(0, 2))


def _nearest_e2m1(x: Tensor) -> Tensor:
    spacing = _spacing(x)
    return (torch.round(x / spacing) * spacing).clamp(-_TOP, _TOP)


def _stochastic_e2m1(x: Tensor) -> Tensor:
    """Up or down at random so that the mean is x; |x| <= 6."""
    spacing = _spacing(x)
    return torch.floor(x / spacing + torch.rand_like(x)) * spacing


def mxfp4_matmul(a: Tensor, b: Tensor, *, stochastic: bool, rotated: bool) -> Tensor:
    """Return a b^T as MXFP4 units compute it: a (m, k), b (n, k) -> (m, n).

    `rotated` draws new signs at each call. With `stochastic` the mean over draws is a b^T.
    """
    if rotated:
        a, b = _rotate(a, b)
    product = round_mxfp4(a, stochastic=stochastic) @ round_mxfp4(b, stochastic=stochastic).T
    return product / PRESCALE**2 if stochastic else product


def _rotate(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate both along the last axis, padded with zeros: a b^T stays what it is."""
    missing = -a.shape[-1] % ROTATION
    signs = torch.randint(2, (ROTATION,), device=a.device).to(a) * 2 - 1
    signs = signs.repeat((a.shape[-1] + missing) // ROTATION)
    a, b = (hadamard(pad(t, (0, missing)) * signs, ROTATION) for t in (a, b))
    return a, b


class _Linear(torch.autograd.Function):
    """y = x W^T + c, forward in float; both products of backward in MXFP4."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stochastic: bool, rotated: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = {"stochastic": stochastic, "rotated": rotated}
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        dy = grads[0].reshape(-1, len(weight))
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        dx = mxfp4_matmul(dy, weight.T, **ctx.how).reshape(x.shape) if needs_x else None
        rows = x.reshape(-1, weight.shape[1])
        dw = mxfp4_matmul(dy.T, rows.T, **ctx.how) if needs_weight else None
        return dx, dw, dy.sum(0) if needs_bias else None, None, None


def mxfp4_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stochastic: bool = True,
    rotated: bool = True,
) -> Tensor:
    """Return x W^T + c with MXFP4 products in backward only: x (..., k), weight (n, k) -> (..., n).

    With `stochastic` rounding the gradients are unbiased; `rotated` lowers their variance. Where
    hardware has no stochastic rounding, rotation alone cost the authors 1 % of perplexity (1.3 B).
    """
    found: Tensor = _Linear.apply(x, weight, bias, stochastic, rotated)  # type: ignore[no-untyped-call]
    return found


class MXFP4Backward(Removable):
    """What `mxfp4_backward_` put on; `remove` or the end of `with` takes it off."""

    def __init__(self, layers: list[nn.Linear]) -> None:
        self._layers = layers

    def remove(self) -> None:
        """Give the layers their own backward again."""
        for layer in self._layers:
            del layer.forward
        self._layers = []


def _forward(layer: nn.Linear, how: dict[str, bool], x: Tensor) -> Tensor:
    return mxfp4_linear(x, layer.weight, layer.bias, **how)


def mxfp4_backward_(
    module: nn.Module, *, stochastic: bool = True, rotated: bool = True
) -> MXFP4Backward:
    """Let every Linear layer in `module` compute its gradients with MXFP4 products, until removed.

    Works together with `fake_quantize_`, which rounds what forward sees.
    """
    # In place of `forward`, not of the layer: its type and its parameters stay what they were.
    layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
    for layer in layers:
        how = {"stochastic": stochastic, "rotated": rotated}
        layer.forward = partial(_forward, layer, how)  # type: ignore[method-assign]
    return MXFP4Backward(layers)
