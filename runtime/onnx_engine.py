"""ONNX Runtime."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from smalti.runtime import native
from smalti.runtime.artifact import Artifact
from smalti.runtime.engine import Array, Native, Port, check_kernels, check_library
from smalti.runtime.errors import FileError, MissingRuntimeError, SmaltiError


class FallbackWarning(UserWarning):
    """The model runs on its portable fallback: right, but slow."""


class OnnxEngine:
    """A session of ONNX Runtime.

    Raises:
        FileError: the engine refuses the file.
        MissingRuntimeError: no engine, or no native library that fits.
    """

    def __init__(self, artifact: Artifact, threads: int | None, wanted: Native) -> None:
        self._session = _load(artifact, threads, wanted)
        self.inputs = [_port(p) for p in self._session.get_inputs()]
        self.outputs = [_port(p) for p in self._session.get_outputs()]

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """Run on checked arrays by input name."""
        return self._session.run(None, dict(feed))  # type: ignore[no-any-return]


def import_onnx_engine() -> Any:
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


def _load(artifact: Artifact, threads: int | None, wanted: Native) -> Any:
    engine = import_onnx_engine()
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
        check_kernels(artifact, native.kernels_created() - before)
    return session


def _register(options: Any, artifact: Artifact, wanted: Native) -> int | None:
    """Register our library; return how many kernels it had made, None if it is not in use."""
    if artifact.native_nodes == 0 or wanted == "off":
        return None
    try:
        check_library(artifact)
        options.register_custom_ops_library(str(native.library_path()))
        return native.kernels_created()
    except Exception as error:  # NativeError, or one of the engine's own
        if wanted == "require":
            raise MissingRuntimeError(
                f"{artifact.path}: {error}; Session(..., native='off') runs the slow fallback"
            ) from None
        warnings.warn(
            f"{artifact.path} runs on its slow fallback: {error}", FallbackWarning, stacklevel=5
        )
        return None


def _load_error(artifact: Artifact, wanted: Native, message: str) -> SmaltiError:
    if "is not a registered function/op" in message and wanted == "off":
        return MissingRuntimeError(
            f"{artifact.path}: exported without a fallback, so it needs the native library"
        )
    needs = artifact.manifest.get("min_engine", {}).get("fallback")
    hint = f" (its fallback needs {needs})" if wanted == "off" and needs else ""
    return FileError(f"{artifact.path}: ONNX Runtime refuses it{hint}: {message}")


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
