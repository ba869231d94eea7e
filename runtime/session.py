"""Runs an exported file in its engine, with our kernels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from smalti.runtime import native
from smalti.runtime.artifact import Artifact, open_artifact
from smalti.runtime.errors import FileError, MissingRuntimeError, SmaltiError

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[Any]
Native = Literal["require", "prefer", "off"]


class InputError(SmaltiError, ValueError):
    """Arrays that do not fit the model's inputs."""

    exit_code = 2


class FallbackWarning(UserWarning):
    """The model runs on its portable fallback: right, but slow."""


@dataclass(frozen=True)
class Port:
    """An input or output: its name, numpy type and shape (names for symbolic dimensions)."""

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


class Session:
    """A model, loaded.

    threads: for one operator; None lets the engine choose. native: `require` our kernels (raise
    without them), `prefer` them (warn), or `off`: run the portable fallback.

    Raises:
        FileError: the file is missing, damaged or too new.
        MissingRuntimeError: no engine, or no native library that fits.
    """

    def __init__(
        self, path: str | Path, *, threads: int | None = None, native: Native = "require"
    ) -> None:
        self.artifact = open_artifact(path)
        self._session = _load(self.artifact, threads, native)
        self.inputs = [_port(p) for p in self._session.get_inputs()]
        self.outputs = [_port(p) for p in self._session.get_outputs()]

    def run(self, *arrays: Array, **named: Array) -> list[Array]:
        """Run the model on arrays in the order of `inputs`, or by name.

        Raises:
            InputError: an array is missing, too many, or of the wrong type or shape.
        """
        return self._session.run(None, self.feed(arrays, named))  # type: ignore[no-any-return]

    def feed(self, arrays: tuple[Array, ...], named: Mapping[str, Array]) -> dict[str, Array]:
        """Check arrays and return them by input name."""
        names = [port.name for port in self.inputs]
        given = dict(zip(names, arrays, strict=False)) | dict(named)
        unknown = [name for name in named if name not in names]
        if len(arrays) > len(names) or unknown or set(given) != set(names):
            got = [*("(positional)" for _ in arrays), *named]
            raise InputError(f"inputs are {', '.join(names)}; got {', '.join(got) or 'none'}")
        return {port.name: port.check(np.asarray(given[port.name])) for port in self.inputs}


def import_engine() -> Any:
    """Return the onnxruntime module.

    Raises:
        MissingRuntimeError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingRuntimeError(
            f"ONNX Runtime is missing ({error}); pip install 'smalti[onnx]'"
        ) from None
    return onnxruntime


def _load(artifact: Artifact, threads: int | None, wanted: Native) -> onnxruntime.InferenceSession:
    engine = import_engine()
    options = engine.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    # Idle sessions would spin for a while, and slow their neighbours down.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    before = _register(options, artifact, wanted)
    try:
        session = engine.InferenceSession(
            str(artifact.path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the engine raises classes of its own, one a status code
        raise _load_error(artifact, wanted, str(error)) from None
    if before is not None:
        _check_native(artifact, native.kernels_created() - before)
    return session


def _register(options: Any, artifact: Artifact, wanted: Native) -> int | None:
    """Register our library; return how many kernels it had made, None if it is not in use."""
    if artifact.native_nodes == 0 or wanted == "off":
        return None
    try:
        _check_library(artifact.manifest.get("min_library", "0"))
        options.register_custom_ops_library(str(native.library_path()))
        return native.kernels_created()
    except Exception as error:  # NativeError, or one of the engine's own
        if wanted == "require":
            raise MissingRuntimeError(
                f"{artifact.path}: {error}; Session(..., native='off') runs the slow fallback"
            ) from None
        warnings.warn(
            f"{artifact.path} runs on its slow fallback: {error}", FallbackWarning, stacklevel=4
        )
        return None


def _check_library(needed: str) -> None:
    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.split(".") if part.isdigit()]

    if numbers(native.version()) < numbers(needed):
        raise native.NativeError(
            f"the file needs library {needed}, this is {native.version()}; upgrade smalti"
        )


def _load_error(artifact: Artifact, wanted: Native, message: str) -> SmaltiError:
    if "is not a registered function/op" in message and wanted == "off":
        return MissingRuntimeError(
            f"{artifact.path}: exported without a fallback, so it needs the native library"
        )
    needs = artifact.manifest.get("min_engine", {}).get("fallback")
    hint = f" (its fallback needs {needs})" if wanted == "off" and needs else ""
    return FileError(f"{artifact.path}: ONNX Runtime refuses it{hint}: {message}")


def _check_native(artifact: Artifact, created: int) -> None:
    if created < artifact.native_nodes:
        raise MissingRuntimeError(
            f"{artifact.path}: {created} of {artifact.native_nodes} smalti nodes got native "
            f"kernels; library {native.version()} does not fit the file, upgrade smalti"
        )


_TYPES = {
    "float": "float32",
    "double": "float64",
    "float16": "float16",
    "int64": "int64",
    "int32": "int32",
    "int8": "int8",
    "uint8": "uint8",
    "bool": "bool",
}


def _port(info: Any) -> Port:
    kind = info.type.removeprefix("tensor(").removesuffix(")")
    return Port(info.name, np.dtype(_TYPES.get(kind, "object")), tuple(info.shape))
