"""Run files in tflite-runtime, and compare: a program for test_tflite_runtime.py.

    python replay.py <library> <folder>

Each `.tflite` file has a `.npz` file beside it: inputs, and results as `<name>.wanted`.
"""

import sys
from pathlib import Path

import numpy as np
from tflite_runtime.interpreter import Interpreter, load_delegate

THREADS = (1, 2)


def replay(library: str, path: Path, threads: int) -> list[str]:
    """Names of the outputs that differ."""
    arrays = dict(np.load(path.with_suffix(".npz")))
    interpreter = Interpreter(
        model_path=str(path),
        num_threads=threads,
        experimental_delegates=[load_delegate(library)],
    )
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], arrays[detail["name"]])
    interpreter.invoke()
    outputs = interpreter.get_output_details()
    found = {d["name"]: interpreter.get_tensor(d["index"]) for d in outputs}
    return [k for k, y in found.items() if y.tobytes() != arrays[f"{k}.wanted"].tobytes()]


if __name__ == "__main__":
    for file in sorted(Path(sys.argv[2]).glob("*.tflite")):
        for count in THREADS:
            print(file.stem, count, *replay(sys.argv[1], file, count))
