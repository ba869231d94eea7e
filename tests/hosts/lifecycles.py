"""Random lives of interpreters with our delegate: a program for test_tflite_lifecycles.py.

    python lifecycles.py <library> <folder> <how many>

The folder holds files and what they have to give; imports are few, as a sanitizer slows them down.
"""

import ctypes
import gc
import json
import random
import sys
from pathlib import Path

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter, load_delegate
except ImportError:  # the older package
    from tflite_runtime.interpreter import Interpreter, load_delegate

ROWS = (2, 1, 5, 40)
BAD_FILES = ("garbled.tflite", "unknown.tflite")


class Lives:
    """Interpreters and delegates that exist at the moment."""

    def __init__(self, library: str, folder: Path) -> None:
        self._library, self._folder, self._random = library, folder, random.Random(7)
        self._arrays = dict(np.load(folder / "arrays.npz"))
        self._kept: list[Interpreter] = []
        self._delegates = [load_delegate(library) for _ in range(3)]

    def live(self) -> None:
        """Create an interpreter and use it; let some others go."""
        dice = self._random
        self._delegates[dice.randrange(3)] = load_delegate(self._library)
        if dice.random() < 0.2:
            self._fail_to_open(dice.choice(BAD_FILES))
        name = dice.choice(("rotations", "matmul", "gather"))
        self._kept.append(self._open(f"{name}.tflite"))
        for interpreter in dice.sample(self._kept, min(2, len(self._kept))):
            self._use(interpreter)
        dice.shuffle(self._kept)
        del self._kept[dice.randrange(6) :]

    def end(self) -> None:
        """Let all of them go."""
        self._kept, self._delegates = [], []
        gc.collect()
        self._delegates = [load_delegate(self._library) for _ in range(3)]

    def _open(self, name: str) -> Interpreter:
        return Interpreter(
            model_path=str(self._folder / name),
            num_threads=self._random.randint(1, 3),
            experimental_delegates=[self._random.choice(self._delegates)],
        )

    def _fail_to_open(self, name: str) -> None:
        try:
            self._open(name).allocate_tensors()
        except RuntimeError as error:
            assert "smalti" in str(error)
        else:
            raise AssertionError(f"{name} was accepted")

    def _use(self, interpreter: Interpreter) -> None:
        name = interpreter.get_input_details()[0]["name"]
        if name == "x":
            interpreter.resize_tensor_input(0, [self._random.choice(ROWS), 64])
        for _ in range(self._random.randint(1, 2)):
            interpreter.allocate_tensors()
        if name == "n.indices" and self._random.random() < 0.5:
            self._fail_to_run(interpreter)
        for _ in range(self._random.randrange(4)):
            self._run(interpreter, name)

    def _fail_to_run(self, interpreter: Interpreter) -> None:
        detail = interpreter.get_input_details()[0]
        interpreter.set_tensor(detail["index"], np.full(detail["shape"], 10**9, np.int64))
        try:
            interpreter.invoke()
        except RuntimeError as error:
            assert "indices: 1000000000" in str(error)
        else:
            raise AssertionError("a bad index was accepted")

    def _run(self, interpreter: Interpreter, name: str) -> None:
        detail, (output,) = interpreter.get_input_details()[0], interpreter.get_output_details()
        rows = f".{detail['shape'][0]}" if name == "x" else ""
        interpreter.set_tensor(detail["index"], self._arrays[f"{name}{rows}"])
        interpreter.invoke()
        wanted = self._arrays[f"{name}{rows}.wanted"]
        assert interpreter.get_tensor(output["index"]).tobytes() == wanted.tobytes(), name


class MallocInfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefg"] + [
        ("used", ctypes.c_size_t),
        ("free", ctypes.c_size_t),
        ("top", ctypes.c_size_t),
    ]


def used_bytes() -> int:
    """What malloc has given out; 0 under a sanitizer."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = MallocInfo
    return int(ask().used)


def main(library: str, folder: str, count: int) -> None:
    """Live, and print the bytes in use half-way and at the end."""
    lives, used = Lives(library, Path(folder)), []
    for _ in range(2):
        for _ in range(count // 2):
            lives.live()
        lives.end()
        used.append(used_bytes())
    print(json.dumps(used))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
