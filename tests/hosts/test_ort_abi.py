"""Our declaration of ONNX Runtime's C interface, compared with Debian's copy of the real one."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "runtime"

pytestmark = pytest.mark.skipif(not shutil.which("g++"), reason="g++ is not installed")


def compile_check(headers: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = ["g++", "-std=c++17", "-fsyntax-only", *flags, f"-I{RUNTIME}"]
    command += [f"-I{RUNTIME / 'include'}", f"-isystem{headers}", str(HERE / "ort_abi_check.cc")]
    return subprocess.run(command, capture_output=True, text=True)


def test_declaration_agrees_with_the_real_header(ort_headers: Path) -> None:
    done = compile_check(ort_headers)
    assert done.returncode == 0, done.stderr


def test_a_wrong_slot_would_be_noticed(ort_headers: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    ours = (RUNTIME / "hosts" / "ort_abi.h").read_text()
    wrong = ours.replace("X(ReadOpAttr, 272,", "X(ReadOpAttr, 273,")
    assert wrong != ours
    (tmp_path / "hosts" / "ort_abi.h").write_text(wrong)
    done = compile_check(ort_headers, f"-I{tmp_path}")
    assert "static assertion failed: ReadOpAttr" in done.stderr
