"""The library as WebAssembly, in node: bit for bit what it computes here."""

import re
import shutil
import subprocess
from pathlib import Path

import in_node
import numpy as np
import pytest
from calls import differing, run_calls
from oracle import FOLDERS, all_cases

from smalti.runtime import native
from smalti.runtime.ops.case import Case

PAGE = Path(__file__).parents[2] / "docs" / "wasm.md"


@pytest.fixture(scope="module")
def command() -> list[str]:
    try:
        return in_node.command()
    except in_node.MissingError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("op", FOLDERS)
def test_same_bits_as_here(command: list[str], op: str) -> None:
    cases = [(name, case) for name, case in all_cases() if name == op]
    assert differing(command, cases, threads=1) == []


def test_a_refusal_says_what_it_says_here(command: list[str]) -> None:
    case = Case("refused", {"x": np.zeros((2, 5), np.float32)}, {"block": 4, "seed": 1})
    with pytest.raises(native.NativeError) as here:
        native.run_op("HadamardTransform", case.inputs, case.attributes)
    done = run_calls(command, [("HadamardTransform", case)], threads=1)
    assert done.returncode == 1
    assert done.stderr.decode().strip() == str(here.value)


def refusal(command: list[str], call: str) -> str:
    """What the exception of a call says."""
    script = (
        f'import("{in_node.INTERFACE}")'
        f'.then(({{ load }}) => load(fs.readFileSync("{in_node.MODULE}")))'
        f".then((smalti) => smalti.run({call}))"
        ".catch((error) => console.log(`${error}`))"
    )
    done = subprocess.run([command[0], "-e", script], capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize(
    ("input", "message"),
    [
        ("{ data: [1, 2], dims: [2] }", "TypeError: data: no array of a known type; pass one of "),
        ("{ data: new Float32Array(3), dims: [2] }", "RangeError: dims: [2] are not those of 3 "),
        ("null", "Error: HadamardTransform: input 'x'"),
    ],
)
def test_wrong_tensors_are_named(command: list[str], input: str, message: str) -> None:
    said = refusal(command, f'"HadamardTransform", [{input}], {{ block: 4, seed: 1 }}')
    assert said.startswith(message), said


def test_more_memory_than_there_are_addresses(command: list[str]) -> None:
    n = 67108879  # a prime, which takes the most
    x = f"{{ data: new Float32Array({n}), dims: [1, {n}] }}"
    said = refusal(command, f'"RFFT", [{x}], {{ modes: 3 }}')
    assert said.strip() == "Error: RFFT: no memory for 9941963072 bytes of scratch"


def test_the_module_imports_nothing(command: list[str]) -> None:
    script = "console.log(WebAssembly.Module.imports(new WebAssembly.Module(fs.readFileSync(0))))"
    done = subprocess.run(
        [command[0], "-e", script], stdin=in_node.MODULE.open(), capture_output=True
    )
    assert done.stdout.strip() == b"[]", done.stderr


def test_kernels_are_vectors(command: list[str]) -> None:
    if not shutil.which("llvm-objdump"):
        pytest.skip("llvm-objdump is missing: apt install llvm")
    done = subprocess.run(["llvm-objdump", "-d", in_node.MODULE], capture_output=True, text=True)
    for kind, least in (("v128", 5000), ("f32x4", 5000), ("i32x4", 2000), ("f64x2", 300)):
        assert len(re.findall(rf"\b{kind}\.", done.stdout)) > least, kind


def test_the_page_does_what_it_says(command: list[str], tmp_path: Path) -> None:
    (example,) = re.findall(r"^```js\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    (shown,) = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    for path in (in_node.MODULE, in_node.INTERFACE):
        shutil.copy(path, tmp_path)
    (tmp_path / "example.mjs").write_text(example)
    done = subprocess.run([command[0], "example.mjs"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (shown, "")
