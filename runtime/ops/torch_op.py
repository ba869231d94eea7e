"""An operator on the authoring side: its Torch reference, known to Torch and to the exporter.

The reference is plain Torch. It runs quantized modules before export, is what kernels are tested
against, and is traced into the portable fallback of every exported node.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

DOMAIN = "smalti"
OPS: dict[str, "TorchOp"] = {}


@dataclass(frozen=True)
class TorchOp:
    """One operator; `inputs` are the reference's tensor parameters, `attributes` the others."""

    name: str
    reference: Callable[..., Tensor]
    call: Callable[..., Tensor]
    dtype: torch.dtype  # of the output

    @property
    def _parameters(self) -> list[inspect.Parameter]:
        return list(inspect.signature(self.reference).parameters.values())

    @property
    def inputs(self) -> list[str]:
        """Names of the tensor inputs, in order."""
        return [p.name for p in self._parameters if _is_tensor(p)]

    @property
    def optional_inputs(self) -> list[str]:
        """Names of the inputs that may be absent."""
        return [p.name for p in self._parameters if p.annotation == Tensor | None]

    @property
    def attributes(self) -> dict[str, Any]:
        """Attribute names and their Python types, in order."""
        return {p.name: p.annotation for p in self._parameters if not _is_tensor(p)}

    @property
    def overload(self) -> Any:  # torch has no public type for it
        """The operator as it appears in a traced graph."""
        return getattr(torch.ops.smalti, self.reference.__name__).default


def _is_tensor(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (Tensor, Tensor | None)


def _keep_arguments(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.arguments = inputs


def _gradients(
    reference: Callable[..., Tensor], arguments: tuple[Any, ...], gradient: Tensor
) -> tuple[Any, ...]:
    """Evaluate the reference again, where Torch sees what it does; None for what needs none."""
    wanted = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
    again = torch.is_grad_enabled()  # of gradients themselves
    with torch.enable_grad():
        found = torch.autograd.grad(
            reference(*arguments), wanted, gradient, create_graph=again, allow_unused=True
        )
    gradients = iter(found)
    return tuple(
        next(gradients) if isinstance(a, Tensor) and a.requires_grad else None for a in arguments
    )


def torch_op(
    name: str,
    shape: Callable[[dict[str, Any]], tuple[int, ...]],
    dtype: torch.dtype = torch.float32,
) -> Callable[[Callable[..., Tensor]], TorchOp]:
    """Register a reference as the operator `name`.

    `shape` gives the output's shape from the reference's arguments by name, `dtype` its type.
    Gradients, of any order, are the reference's.
    """

    def register(reference: Callable[..., Tensor]) -> TorchOp:
        custom = torch.library.custom_op(
            f"{DOMAIN}::{reference.__name__}", reference, mutates_args=()
        )

        @custom.register_fake
        def _(*args: Any, **kwargs: Any) -> Tensor:
            bound = inspect.signature(reference).bind(*args, **kwargs)
            bound.apply_defaults()
            device = next(a for a in args if isinstance(a, Tensor)).device
            return torch.empty(shape(bound.arguments), dtype=dtype, device=device)

        def backward(context: Any, gradient: Tensor) -> tuple[Any, ...]:
            return _gradients(reference, context.arguments, gradient)

        custom.register_autograd(backward, setup_context=_keep_arguments)
        OPS[name] = TorchOp(name, reference, custom, dtype)
        return OPS[name]

    return register
