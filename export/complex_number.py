"""A complex tensor while a module is traced: it looks like one, and holds pairs of reals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from smalti.export.complex_forms import Form, Pairs
from smalti.export.functions import ConversionError

FUNCTIONS: dict[str, Callable[..., Any]] = {}  # of complex tensors, by Torch's names


Function = TypeVar("Function", bound=Callable[..., Any])


def function(*names: str) -> Callable[[Function], Function]:
    """Register what Torch's functions and methods of these names do to complex tensors."""

    def register(call: Function) -> Function:
        FUNCTIONS.update(dict.fromkeys(names, call))
        return call

    return register


class Complex:
    """Not a tensor, but Torch's functions take it for one and call us."""

    dtype = torch.complex64
    is_sparse = False
    requires_grad = False

    def __init__(self, form: Form) -> None:
        self.form = form

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call our function of that name.

        Raises:
            ConversionError: there is none.
        """
        name = getattr(func, "__name__", str(func))
        found = FUNCTIONS.get(name.removeprefix("fft_") if "fft" in name else name)
        if found is None:
            raise ConversionError(
                f"{name} of complex numbers has no form in reals; compute it from .real and "
                ".imag, and join them by torch.complex"
            )
        given = {k: _wrapped(v) for k, v in (kwargs or {}).items()}
        try:
            bound = signature(found).bind(*map(_wrapped, args), **given)
        except TypeError as error:
            raise ConversionError(
                f"{name} of complex numbers: {error}; call it otherwise"
            ) from None
        return found(*bound.args, **bound.kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Tensor, name):
            raise AttributeError(f"{name} of complex numbers; use functions of Torch")
        method = _method(name)
        return method.__get__(self) if callable(getattr(Tensor, name)) else method(self)

    @property
    def shape(self) -> torch.Size:
        """Of the complex tensor."""
        return torch.Size(self.form.shape)

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self.form.shape)

    @property
    def device(self) -> torch.device:
        """Tracing happens on the CPU."""
        return torch.device("cpu")

    @property
    def pairs(self) -> Tensor:
        """Real and imaginary parts: (*shape, 2)."""
        return self.form.pairs()

    @property
    def real(self) -> Tensor:
        """Real parts."""
        return self.pairs[..., 0]

    @property
    def imag(self) -> Tensor:
        """Imaginary parts."""
        return self.pairs[..., 1]

    def __len__(self) -> int:
        return int(self.form.shape[0])


def _method(name: str) -> Any:
    """A method of tensors. Torch calls its modes with it, which may call it again."""

    def call(self: Complex, *args: Any, **given: Any) -> Any:
        return handle_torch_function(call, (self,), self, *args, **given)

    call.__name__ = name
    return call


_SUMS = ("add", "radd", "sub", "rsub", "neg", "abs")
_PRODUCTS = ("mul", "rmul", "truediv", "rtruediv", "matmul", "rmatmul", "pow", "rpow")
for _name in (*_SUMS, *_PRODUCTS, "getitem", "setitem"):
    setattr(Complex, f"__{_name}__", _method(f"__{_name}__"))


def of_pairs(pairs: Tensor) -> Complex:
    """Return the complex tensor of (..., 2)."""
    return Complex(Pairs(pairs))


def pairs_of(value: Any) -> Tensor:
    """Return the pairs of a complex tensor, a real one, or a number."""
    if isinstance(value, Complex):
        return value.pairs
    if isinstance(value, Tensor):
        return torch.stack([value, torch.zeros_like(value)], -1)
    return torch.tensor([complex(value).real, complex(value).imag])


def _wrapped(value: Any) -> Any:
    """Constants of the model may be complex tensors."""
    if isinstance(value, Tensor) and value.dtype.is_complex:
        return of_pairs(torch.view_as_real(value))
    if isinstance(value, complex):
        return of_pairs(pairs_of(value))
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(_wrapped, value)) if type(value) in (list, tuple) else value
    return value
