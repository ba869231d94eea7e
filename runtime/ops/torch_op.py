"""An operator on the authoring side: its Torch reference, known to Torch and to the exporter.

The reference is plain Torch. It runs quantized modules before export, is what kernels are tested
against, and is traced into the portable fallback of every exported node.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

DOMAIN = "smalti"
OPS: dict[str, "TorchOp"] = {}


@dataclass(frozen=True)
class TorchOp:
    """One operator; `inputs` are the reference's tensor parameters, `attributes` the others."""

    name: str
    reference: Callable[..., torch.Tensor]
    call: Callable[..., torch.Tensor]

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
        return [p.name for p in self._parameters if p.annotation == torch.Tensor | None]

    @property
    def attributes(self) -> dict[str, Any]:
        """Attribute names and their Python types, in order."""
        return {p.name: p.annotation for p in self._parameters if not _is_tensor(p)}

    @property
    def overload(self) -> Any:  # torch has no public type for it
        """The operator as it appears in a traced graph."""
        return getattr(torch.ops.smalti, self.reference.__name__).default


def _is_tensor(parameter: inspect.Parameter) -> bool:
    return parameter.annotation in (torch.Tensor, torch.Tensor | None)


def torch_op(
    name: str, shape: Callable[[dict[str, Any]], tuple[int, ...]]
) -> Callable[[Callable[..., torch.Tensor]], TorchOp]:
    """Register a reference as the operator `name`.

    `shape` gives the output's shape from the reference's arguments by name. The output has the
    type float32.
    """

    def register(reference: Callable[..., torch.Tensor]) -> TorchOp:
        custom = torch.library.custom_op(
            f"{DOMAIN}::{reference.__name__}", reference, mutates_args=()
        )

        @custom.register_fake
        def _(*args: Any, **kwargs: Any) -> torch.Tensor:
            bound = inspect.signature(reference).bind(*args, **kwargs)
            bound.apply_defaults()
            device = next(a for a in args if isinstance(a, torch.Tensor)).device
            return torch.empty(shape(bound.arguments), dtype=torch.float32, device=device)

        OPS[name] = TorchOp(name, reference, custom)
        return OPS[name]

    return register
