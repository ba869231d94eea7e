"""Runs an exported file in its engine, with our kernels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from smalti.runtime.artifact import Artifact, open_artifact
from smalti.runtime.engine import Array, Engine, InputError, Native


class Session:
    """A model, loaded: an `.onnx` file in ONNX Runtime, a `.tflite` file in LiteRT.

    threads: for one operator; None lets the engine choose. native: `require` our kernels (raise
    without them), `prefer` them (warn), or `off`: run the portable fallback, which only `.onnx`
    files have.

    Raises:
        FileError: the file is missing, damaged or too new.
        MissingRuntimeError: no engine, or no native library that fits.
    """

    def __init__(
        self, path: str | Path, *, threads: int | None = None, native: Native = "require"
    ) -> None:
        self.artifact = open_artifact(path)
        self._engine = _load(self.artifact, threads, native)
        self.inputs, self.outputs = self._engine.inputs, self._engine.outputs

    def run(self, *arrays: Array, **named: Array) -> list[Array]:
        """Run the model on arrays in the order of `inputs`, or by name.

        Raises:
            InputError: an array is missing, too many, or of the wrong type or shape.
        """
        return self._engine.run(self.feed(arrays, named))

    def feed(self, arrays: tuple[Array, ...], named: Mapping[str, Array]) -> dict[str, Array]:
        """Check arrays and return them by input name."""
        names = [port.name for port in self.inputs]
        given = dict(zip(names, arrays, strict=False)) | dict(named)
        unknown = [name for name in named if name not in names]
        if len(arrays) > len(names) or unknown or set(given) != set(names):
            got = [*("(positional)" for _ in arrays), *named]
            raise InputError(f"inputs are {', '.join(names)}; got {', '.join(got) or 'none'}")
        return {port.name: port.check(np.asarray(given[port.name])) for port in self.inputs}


def _load(artifact: Artifact, threads: int | None, native: Native) -> Engine:
    if artifact.engine == "tflite":
        from smalti.runtime.tflite_engine import TFLiteEngine

        return TFLiteEngine(artifact, threads, native)
    from smalti.runtime.onnx_engine import OnnxEngine

    return OnnxEngine(artifact, threads, native)
