"""Runs inside the arm64 system, on what arm64_system.py has put into /data; prints JSON.

    python3 guest.py library | onnx | tflite | session onnx | session tflite

Needs numpy, smalti's wheel and the engine.
"""

import json
import pickle
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smalti.runtime import Session, native

DATA = Path("/data")
Array = np.ndarray[Any, Any]
Outputs = Mapping[str, Array]


def library() -> Iterator[tuple[str, Outputs, Outputs]]:
    """Every case by the library alone."""
    for path in sorted(DATA.glob("*.pickle")):
        cases = pickle.loads(path.read_bytes())
        found = {name: native.run_op(path.stem, x, a, threads=2) for name, x, a, _ in cases}
        yield path.stem, found, {name: y for name, _, _, y in cases}


def onnx() -> Iterator[tuple[str, Outputs, Outputs]]:
    """Every case as a node of a file in ONNX Runtime."""
    import onnxruntime

    for path in sorted(DATA.glob("*.onnx")):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 2
        options.register_custom_ops_library(str(native.library_path()))
        session = onnxruntime.InferenceSession(str(path), options)
        inputs, wanted = _arrays(path)
        names = [port.name for port in session.get_outputs()]
        yield path.stem, dict(zip(names, session.run(names, inputs), strict=True)), wanted


def tflite() -> Iterator[tuple[str, Outputs, Outputs]]:
    """Every case as a node of a file in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    for path in sorted(DATA.glob("*.tflite")):
        delegates = [load_delegate(str(native.library_path()))]
        interpreter = Interpreter(str(path), num_threads=2, experimental_delegates=delegates)
        interpreter.allocate_tensors()
        inputs, wanted = _arrays(path)
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], inputs[detail["name"]])
        interpreter.invoke()
        details = interpreter.get_output_details()
        yield path.stem, {d["name"]: interpreter.get_tensor(d["index"]) for d in details}, wanted


def _arrays(path: Path) -> tuple[Outputs, Outputs]:
    """Inputs and wanted outputs, by name."""
    arrays = dict(np.load(path.with_suffix(".npz")))
    wanted = {k.removesuffix(".wanted"): a for k, a in arrays.items() if k.endswith(".wanted")}
    return {k: a for k, a in arrays.items() if not k.endswith(".wanted")}, wanted


def rows(found: Iterator[tuple[str, Outputs, Outputs]]) -> Iterator[dict[str, Any]]:
    """Count the outputs whose bits are the wanted ones."""
    for op, outputs, wanted in found:
        assert outputs.keys() == wanted.keys()
        same = [outputs[k].tobytes() == wanted[k].tobytes() for k in wanted]
        yield {"row": op, "cases": len(same), "same": sum(same)}


def session(suffix: str) -> dict[str, Any]:
    """The small model by the runtime's Session: the largest error over the largest value."""
    path = DATA / "models" / f"small.{suffix}"
    inputs, wanted = _arrays(path)
    (found,) = Session(path, threads=2).run(*inputs.values())
    error = np.abs(found - wanted["y"]).max() / np.abs(wanted["y"]).max()
    return {"row": path.name, "error": float(error)}


def main() -> None:
    """Do what the command line says."""
    what, *rest = sys.argv[1:]
    by_engine = {"library": library, "onnx": onnx, "tflite": tflite}
    print(json.dumps([session(*rest)] if what == "session" else list(rows(by_engine[what]()))))


if __name__ == "__main__":
    main()
