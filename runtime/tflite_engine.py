"""LiteRT's interpreter, or the older tflite-runtime."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from smalti.runtime import native
from smalti.runtime.artifact import Artifact
from smalti.runtime.engine import Array, Native, Port, check_kernels, check_library
from smalti.runtime.errors import FileError, MissingRuntimeError, SmaltiError

_INSTALL = "pip install 'smalti[tflite]'"


class TFLiteEngine:
    """An interpreter with our delegate. Calls from several threads wait for each other.

    preserve: keep every tensor after a run, for `tensor`; the engine's own delegates are off then.

    Raises:
        FileError: the engine refuses the file.
        MissingRuntimeError: no engine, one that would compute nonsense, or no native library.
    """

    def __init__(
        self, artifact: Artifact, threads: int | None, wanted: Native, *, preserve: bool = False
    ) -> None:
        self._path, self._lock = artifact.path, threading.Lock()
        self._interpreter = _load(artifact, threads, wanted, preserve)
        names = _signature_names(self._interpreter)
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self.inputs = [_port(d, names["inputs"]) for d in self._inputs]
        self.outputs = [_port(d, names["outputs"]) for d in self._outputs]

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """Run on checked arrays by input name.

        Raises:
            SmaltiError: the engine fails, as on an index that is out of range.
        """
        with self._lock:
            try:
                return self._run([feed[port.name] for port in self.inputs])
            except (RuntimeError, ValueError) as error:
                raise SmaltiError(f"{self._path}: LiteRT: {error}") from None

    def _run(self, arrays: list[Array]) -> list[Array]:
        engine = self._interpreter
        for detail, array in zip(self._inputs, arrays, strict=True):
            if tuple(detail["shape"]) != array.shape:
                engine.resize_tensor_input(detail["index"], array.shape)
        engine.allocate_tensors()
        self._inputs = engine.get_input_details()
        for detail, array in zip(self._inputs, arrays, strict=True):
            engine.set_tensor(detail["index"], array)
        engine.invoke()
        return [engine.get_tensor(detail["index"]) for detail in self._outputs]

    def tensor(self, name: str) -> Array:
        """Return a tensor of the last run, with `preserve`."""
        details = self._interpreter.get_tensor_details()
        index = next(d["index"] for d in details if d["name"] == name)
        return np.asarray(self._interpreter.get_tensor(index))


class Package(NamedTuple):
    """The interpreter's module, and whether it is the old tflite-runtime's."""

    interpreter: Any
    is_old: bool


def import_tflite_engine() -> Package:
    """Return what is installed, LiteRT first.

    Raises:
        MissingRuntimeError: none is installed, or one that does not work with this numpy.
    """
    try:
        from ai_edge_litert import interpreter

        return Package(interpreter, False)
    except ImportError as error:
        missing = error
    try:
        from tflite_runtime import interpreter
    except ImportError:
        raise MissingRuntimeError(f"LiteRT is missing ({missing}); {_INSTALL}") from None
    if int(np.__version__.split(".")[0]) >= 2:
        raise MissingRuntimeError(
            f"tflite-runtime does not work with numpy {np.__version__}; pip install 'numpy<2', or "
            f"better {_INSTALL}"
        )
    return Package(interpreter, True)


def _load(artifact: Artifact, threads: int | None, wanted: Native, preserve: bool) -> Any:
    engine, is_old = import_tflite_engine()
    if is_old:
        _refuse_silent_zeros(artifact)
    delegates, before = _delegates(engine, artifact, wanted)
    options: dict[str, Any] = {}
    if preserve:
        kinds = engine.OpResolverType
        options["experimental_op_resolver_type"] = kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        options["experimental_preserve_all_tensors"] = True
    try:
        interpreter = engine.Interpreter(
            model_path=str(artifact.path),
            num_threads=threads,
            experimental_delegates=delegates,
            **options,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{artifact.path}: LiteRT refuses it: {error}") from None
    if delegates:
        check_kernels(artifact, native.kernels_created() - before)
    return interpreter


def _delegates(engine: Any, artifact: Artifact, wanted: Native) -> tuple[list[Any], int]:
    """Return our delegate where the file needs it, and how many kernels it had made."""
    if artifact.native_nodes == 0:
        return [], 0
    if wanted == "off":
        raise MissingRuntimeError(
            f"{artifact.path}: a .tflite file has no fallback; it needs the native library"
        )
    try:
        check_library(artifact)
        return [engine.load_delegate(str(native.library_path()))], native.kernels_created()
    except (SmaltiError, OSError, ValueError) as error:
        raise MissingRuntimeError(f"{artifact.path}: {error}") from None


def _refuse_silent_zeros(artifact: Artifact) -> None:
    """tflite-runtime 2.14 computes zeros for weights that today's quantizer has made."""
    if artifact.quantized:
        raise MissingRuntimeError(
            f"{artifact.path}: tflite-runtime gives zeros for quantized weights such as "
            f"{artifact.quantized[0]!r}; {_INSTALL}"
        )


def _signature_names(interpreter: Any) -> dict[str, dict[int, str]]:
    """Names by tensor index, of the first signature."""
    signatures = list(interpreter.get_signature_list())
    if not signatures:
        return {"inputs": {}, "outputs": {}}
    runner = interpreter.get_signature_runner(signatures[0])
    details = {"inputs": runner.get_input_details(), "outputs": runner.get_output_details()}
    return {
        kind: {d["index"]: name for name, d in found.items()} for kind, found in details.items()
    }


def _port(detail: Mapping[str, Any], names: Mapping[int, str]) -> Port:
    shape = tuple(None if d < 0 else int(d) for d in detail["shape_signature"])
    return Port(names.get(detail["index"], detail["name"]), np.dtype(detail["dtype"]), shape)
