"""The delegate in engines that lay out their structures another way: refused, never a crash."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from flatbuffers.flexbuffers import Dumps

from smalti.runtime import native

HOST = Path(__file__).parent / "fake_tflite_host.cc"
REFUSAL = "does not know how this engine lays out its structures"
ATTRIBUTES = {"block": 32, "seed": 7}
FILLS = ("0", "255", "32")  # bytes: zeros, -1, and text

# Where the host can have fields of its own, and what it has there in the layout that we know.
KNOWN = {
    "LAYOUT_CONTEXT_HEAD": "",
    "LAYOUT_CONTEXT_MIDDLE": "",
    "LAYOUT_NODE_HEAD": "",
    "LAYOUT_NODE_MIDDLE": "",
    "LAYOUT_REGISTRATION_HEAD": "",
    "LAYOUT_TENSOR_HEAD": "",
    "LAYOUT_TENSOR_MIDDLE": "",
    "LAYOUT_TENSOR_TAIL": "const void *signature;",
}
LAYOUTS = {
    "tensor-120-bytes": {"LAYOUT_TENSOR_TAIL": "const void *signature; void *added;"},
    "tensor-104-bytes": {"LAYOUT_TENSOR_TAIL": ""},
    "tensor-shifted": {"LAYOUT_TENSOR_HEAD": "void *added;"},
    "tensor-shifted-behind-dims": {"LAYOUT_TENSOR_MIDDLE": "void *added;"},
    "node-shifted": {"LAYOUT_NODE_HEAD": "void *added;"},
    "node-shifted-behind-user-data": {"LAYOUT_NODE_MIDDLE": "void *added[2];"},
    "context-shifted": {"LAYOUT_CONTEXT_HEAD": "void *added;"},
    "context-shifted-behind-resize": {"LAYOUT_CONTEXT_MIDDLE": "void *added;"},
}


def built(folder: Path, changes: dict[str, str]) -> Path:
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt install g++")
    program = folder / "host"
    flags = [f"-D{name}={text}" for name, text in (KNOWN | changes).items()]
    subprocess.run(["g++", "-std=c++17", *flags, str(HOST), "-ldl", "-o", program], check=True)
    return program


def answer(program: Path, fill: str) -> tuple[int, str]:
    options = program.parent / "options"
    options.write_bytes(bytes(Dumps(ATTRIBUTES)))
    command = [str(program), str(native.library_path()), str(options), fill]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("fill", FILLS)
def test_the_layout_that_we_know_is_accepted(tmp_path: Path, fill: str) -> None:
    status, text = answer(built(tmp_path, {}), fill)
    assert status == 0, text
    x = np.arange(64, dtype=np.float32).reshape(1, 64)
    wanted = native.run_op("HadamardTransform", {"x": x}, ATTRIBUTES)
    assert np.array(text.split(), np.float32).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_layout_is_refused(tmp_path: Path, layout: str) -> None:
    program = built(tmp_path, LAYOUTS[layout])
    for fill in FILLS:
        status, text = answer(program, fill)
        assert (status, REFUSAL in text) == (1, True), f"{fill}: {status}, {text}"


def test_a_node_whose_name_is_elsewhere_is_left_to_the_engine(tmp_path: Path) -> None:
    program = built(tmp_path, {"LAYOUT_REGISTRATION_HEAD": "void *added;"})
    nothing, *numbers = [answer(program, fill) for fill in FILLS]
    assert nothing == (0, "ignored")
    assert all(status == 1 and REFUSAL in text for status, text in numbers)
