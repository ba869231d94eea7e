"""Turns what is constant after training into plain weights of standard layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from smalti.export.fold.adapters import fold_adapters_
from smalti.export.fold.affine import AlongAxis, Basis
from smalti.export.fold.batch_norm import fold_batch_norms_
from smalti.export.fold.binary import fold_binary_
from smalti.export.fold.kernels import fold_kernels_
from smalti.export.fold.linear import fold_linear_, fold_linears_
from smalti.export.fold.parametrizations import fold_parametrizations_
from smalti.export.fold.parts import Folded, FoldError, limit_of, relative_error, run
from smalti.export.fold.transposed import fold_transposed_
from smalti.quant.observe import tensors

__all__ = [
    "AlongAxis",
    "Basis",
    "FoldError",
    "Folded",
    "fold_",
    "fold_kernels_",
    "fold_linear_",
]

# A fold may leave a layer that the next ones can read; batch norms want plain layers before them.
_PASSES = (
    fold_parametrizations_,
    fold_adapters_,
    fold_kernels_,
    fold_binary_,
    fold_linears_,
    fold_batch_norms_,
    fold_transposed_,
)


def fold_(module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> list[Folded]:
    """Fold all that is constant: parametrizations, adapters, kernels, affine modules, batch norms.

    In place, and before `quantize_`, which then sees plain Linear and Conv layers. example_inputs:
    positional arguments of the module, whose calls every fold is measured with. Affine modules fold
    only where that takes no more bytes, constructed kernels always, and transposed convolutions
    where a plain one needs no more weights. Layers inside a folded one give way to it: names such
    as `q.base_layer` become `q`; a transposed convolution `up` becomes `up.conv`.

    Returns:
        One report a layer that was folded, or could have been but for a reason.

    Raises:
        FoldError: a part is in training mode; or the module's outputs have changed, which a module
            that is random in evaluation mode does by itself.
    """
    for name, part in module.named_modules():
        if part.training:
            raise FoldError(
                f"layer {name or type(part).__name__} is in training mode, where batch norms and "
                "dropout are no constants; call module.eval() first"
            )
    before = run(module, example_inputs)
    found = [row for fold_pass_ in _PASSES for row in fold_pass_(module, example_inputs)]
    after = run(module, example_inputs)
    for new, old in zip(tensors(after), tensors(before), strict=True):
        error = relative_error(new, old)
        if not error <= 10 * limit_of(old):
            raise FoldError(
                f"folding has changed an output by {error:.2g} of its size; the module may be "
                "random in evaluation mode: make it give the same twice"
            )
    return found
