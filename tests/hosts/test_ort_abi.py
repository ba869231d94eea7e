"""Our declaration of ONNX Runtime's C interface, compared with Debian's copy of the real one."""

from pathlib import Path

from debian import compile_check

CHECK = Path(__file__).with_name("ort_abi_check.cc")
OURS = Path(__file__).parents[2] / "runtime" / "hosts" / "ort_abi.h"


def test_declaration_agrees_with_the_real_header(ort_headers: Path) -> None:
    done = compile_check(CHECK, ort_headers)
    assert done.returncode == 0, done.stderr


def test_a_wrong_slot_would_be_noticed(ort_headers: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    wrong = OURS.read_text().replace("X(ReadOpAttr, 272,", "X(ReadOpAttr, 273,")
    assert wrong != OURS.read_text()
    (tmp_path / "hosts" / "ort_abi.h").write_text(wrong)
    done = compile_check(CHECK, ort_headers, f"-I{tmp_path}")
    assert "static assertion failed: ReadOpAttr" in done.stderr
