"""A complex tensor while a module is traced: it looks like one, and holds pairs of reals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from smalti.export.complex_forms import Form, Pairs, Ranges, painted
from smalti.export.tflite_ops import ConversionError

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
        return found(*map(_wrapped, args), **{k: _wrapped(v) for k, v in (kwargs or {}).items()})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not callable(getattr(Tensor, name, None)):
            raise AttributeError(f"{name} of complex numbers; use functions of Torch")
        return lambda *args, **given: self.__torch_function__(
            getattr(Tensor, name), (), (self, *args), given
        )

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

    def __getitem__(self, index: Any) -> Complex:
        found = _boxed(self.form.shape, index)
        if found is None:
            return of_pairs(self.pairs[_with_parts(index)])
        ranges, dropped = found
        form = self.form.cut(ranges)
        if not dropped:
            return Complex(form)
        pairs = form.pairs()
        return of_pairs(pairs[tuple(0 if i in dropped else slice(None) for i in range(self.ndim))])

    def __setitem__(self, index: Any, value: Any) -> None:
        found = _boxed(self.form.shape, index)
        if found is None:
            raise ConversionError("assignment to complex numbers; assign to slices with step 1")
        ranges, dropped = found
        if isinstance(value, int | float | complex) and value == 0:
            self.form = painted(self.form, ranges, None)
            return
        self.form = painted(self.form, ranges, _fitted(value, ranges, dropped))


def _operator(name: str) -> Callable[..., Any]:
    return lambda self, *args: self.__torch_function__(getattr(Tensor, name), (), (self, *args))


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "matmul"):
    setattr(Complex, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("rmatmul", "neg", "abs", "pow"):
    setattr(Complex, f"__{_name}__", _operator(f"__{_name}__"))


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


def _fitted(value: Any, ranges: Ranges, dropped: Sequence[int]) -> Form:
    """Return a value as broadcast to the ranges, with the dropped axes back."""
    sizes = [b - a for i, (a, b) in enumerate(ranges) if i not in dropped]
    if not dropped and isinstance(value, Complex) and list(value.form.shape) == sizes:
        return value.form
    pairs = pairs_of(value).expand(*sizes, 2)
    for axis in dropped:
        pairs = pairs.unsqueeze(axis)
    return Pairs(pairs)


def _wrapped(value: Any) -> Any:
    """Constants of the model may be complex tensors."""
    if isinstance(value, Tensor) and value.dtype.is_complex:
        return of_pairs(torch.view_as_real(value))
    if isinstance(value, complex):
        return of_pairs(pairs_of(value))
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(map(_wrapped, value)) if type(value) in (list, tuple) else value
    return value


def _with_parts(index: Any) -> Any:
    """The index of pairs that a complex tensor's index means."""
    parts = index if isinstance(index, tuple) else (index,)
    return (*parts, slice(None)) if any(p is Ellipsis for p in parts) else index


def _boxed(shape: Sequence[int], index: Any) -> tuple[Ranges, list[int]] | None:
    """Return ranges, and axes that a number drops; None for an index that is no box."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(p is Ellipsis or isinstance(p, int | slice) for p in parts):
        return None
    if any(p is Ellipsis for p in parts):
        at = next(i for i, p in enumerate(parts) if p is Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    ranges, dropped = [], []
    for axis, (part, size) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, int):
            dropped.append(axis)
            ranges.append((part % size, part % size + 1))
        elif part == slice(None):
            ranges.append((0, size))
        elif part.step in (None, 1):
            start, stop, _ = part.indices(size)
            ranges.append((start, max(start, stop)))
        else:
            return None
    return ranges, dropped
