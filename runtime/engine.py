"""What a Session asks of an inference engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from smalti.runtime import native
from smalti.runtime.artifact import Artifact
from smalti.runtime.errors import MissingRuntimeError, SmaltiError

Array = NDArray[Any]
Native = Literal["require", "prefer", "off"]


class InputError(SmaltiError, ValueError):
    """Arrays that do not fit the model's inputs."""

    exit_code = 2


@dataclass(frozen=True)
class Port:
    """An input or output: its name, numpy type and shape.

    A dimension that is not fixed is a name, or None.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]

    def check(self, array: Array) -> Array:
        """Return the array if it fits.

        Raises:
            InputError: names the input, what it got and what it takes.
        """
        fits = array.ndim == len(self.shape) and all(
            not isinstance(want, int) or want == have
            for want, have in zip(self.shape, array.shape, strict=True)
        )
        if fits and array.dtype == self.dtype:
            return np.ascontiguousarray(array)
        raise InputError(
            f"input {self.name!r} is {array.dtype} {list(array.shape)}; "
            f"pass {self.dtype} [{', '.join(str(d or '?') for d in self.shape)}]"
        )


class Engine(Protocol):
    """A model, loaded."""

    inputs: list[Port]
    outputs: list[Port]

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """Run on checked arrays by input name."""
        ...


def check_library(artifact: Artifact) -> None:
    """Refuse a library that is older than the file asks for.

    Raises:
        NativeError: the library is absent, does not load, or is too old.
    """
    needed = artifact.manifest.get("min_library", "0")
    if _numbers(native.version()) < _numbers(needed):
        raise native.NativeError(
            f"the file needs library {needed}, this is {native.version()}; upgrade smalti"
        )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def check_kernels(artifact: Artifact, created: int) -> None:
    """Refuse a model whose nodes did not all get our kernels.

    Raises:
        MissingRuntimeError: the library lacks some of the operators.
    """
    if created < artifact.native_nodes:
        raise MissingRuntimeError(
            f"{artifact.path}: {created} of {artifact.native_nodes} smalti nodes got native "
            f"kernels; library {native.version()} does not fit the file, upgrade smalti"
        )
