"""How much a model's outputs mind errors in a layer's weight: Kronecker-factored Hessians.

For an error E = W - W' the loss is about 1/2 vec(E)^T F vec(E), with the Fisher or Gauss-Newton
matrix F of the whole model, held as two factors: over a layer's inputs and over its outputs. The
sketches A and B are YAQA's (Tseng et al. 2025), section 3; the second moment of the inputs alone is
GPTQ's (Frantar et al. 2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]
_RIDGE = 1e-4  # of the mean of the diagonal: a bias without effect (a key's) stays as it is


@dataclass
class Hessian:
    """Sums over samples, of one layer with a weight (m, n).

    inputs: (n + 1, n + 1), of the inputs and the constant 1 that a bias multiplies; outputs:
    (m, m), or None for the identity; samples: how many the sums are over.
    """

    inputs: Tensor
    outputs: Tensor | None
    samples: int = 0

    @classmethod
    def zeros(cls, rows: int, columns: int, two_sided: bool) -> Hessian:
        """Return a Hessian that has seen nothing."""
        outputs = torch.zeros(rows, rows) if two_sided else None
        return cls(torch.zeros(columns + 1, columns + 1), outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes, and into hashes, as arrays: tensors pickle differently."""
        outputs = None if self.outputs is None else self.outputs.numpy()
        return _from_arrays, (self.inputs.numpy(), outputs, self.samples)

    @property
    def centre(self) -> Tensor:
        """Mean input (n,), weighted as the loss does: what of an error a bias makes up for."""
        own = self.inputs[-1, -1] + _RIDGE * self.inputs.diagonal()[:-1].mean()
        return self.inputs[-1, :-1] / own.clamp(min=1e-30)

    def centred(self) -> Tensor:
        """Factor over the inputs (n, n) when the bias adapts: a Schur complement."""
        return self.inputs[:-1, :-1] - torch.outer(self.inputs[:-1, -1], self.centre)

    def add_inputs(self, x: Tensor) -> None:
        """Add the second moment of inputs x (tokens, n)."""
        x = _with_one(x)
        self.inputs += x.T @ x
        self.samples += len(x)

    def add_lookups(self, g: Tensor, rows: int) -> None:
        """Add gradients g (samples, tokens, n) of what an embedding of `rows` rows gave.

        Every row is taken to be looked up equally often.
        """
        self.inputs[:-1, :-1] += g.flatten(0, 1).T @ g.flatten(0, 1) / rows
        self.samples += len(g)

    def add_samples(self, x: Tensor, g: Tensor) -> None:
        """Add sketch B: G^T G and G G^T of each sample's gradient G = sum over tokens of g x^T.

        x: (samples, tokens, n); g: (samples, tokens, m), the gradients of the outputs.
        """
        assert self.outputs is not None
        one = _with_one(x)
        self.samples += len(x)
        if x.shape[1] < min(x.shape[2], g.shape[2]):  # G^T G = X^T (g g^T) X: no need of G
            self.inputs += (g @ g.mT @ one).flatten(0, 1).T @ one.flatten(0, 1)
            self.outputs += (x @ x.mT @ g).flatten(0, 1).T @ g.flatten(0, 1)
        else:
            gradient = (g.mT @ one).flatten(0, 1)
            self.inputs += gradient.T @ gradient
            across = (x.mT @ g).flatten(0, 1)
            self.outputs += across.T @ across

    def add_tokens(self, x: Tensor, g: Tensor, before: Hessian | None) -> None:
        """Add sketch A: tokens are independent, and each side is weighted by the other.

        x: (tokens, n); g: (tokens, m); before: what the pass before has found, None in the first.
        """
        assert self.outputs is not None
        one = _with_one(x)
        self.samples += len(x)
        if before is None or before.outputs is None:
            of_x, of_g = x.square().sum(1), g.square().sum(1)
        else:
            of_x = (one @ before.inputs * one).sum(1) / before.inputs.square().sum()
            of_g = (g @ before.outputs * g).sum(1) / before.outputs.square().sum()
        self.inputs += (one * of_g.unsqueeze(1)).T @ one
        self.outputs += (g * of_x.unsqueeze(1)).T @ g

    def pack(self) -> dict[str, Tensor]:
        """Return tensors to store; of symmetric matrices, the lower triangles."""
        found = {"inputs": _triangle(self.inputs), "samples": torch.tensor(self.samples)}
        return found if self.outputs is None else {**found, "outputs": _triangle(self.outputs)}

    @classmethod
    def unpack(cls, stored: Mapping[str, Tensor]) -> Hessian:
        """Return what `pack` has packed."""
        outputs = _symmetric(stored["outputs"]) if "outputs" in stored else None
        return cls(_symmetric(stored["inputs"]), outputs, int(stored["samples"]))


def _from_arrays(inputs: Array, outputs: Array | None, samples: int) -> Hessian:
    second = None if outputs is None else torch.from_numpy(outputs.copy())
    return Hessian(torch.from_numpy(inputs.copy()), second, samples)


def _with_one(x: Tensor) -> Tensor:
    """(..., n) -> (..., n + 1)."""
    return torch.nn.functional.pad(x, (0, 1), value=1.0)


def _triangle(matrix: Tensor) -> Tensor:
    rows, columns = torch.tril_indices(*matrix.shape)
    return matrix[rows, columns]


def _symmetric(triangle: Tensor) -> Tensor:
    size = int((2 * len(triangle) + 0.25) ** 0.5)
    lower = torch.zeros(size, size)
    rows, columns = torch.tril_indices(size, size)
    lower[rows, columns] = triangle
    return lower + lower.tril(-1).T
