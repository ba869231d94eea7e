"""Our declaration of TensorFlow Lite's structures, compared with Debian's copy of the real ones."""

from pathlib import Path

import pytest
from debian import compile_check, headers_of

CHECK = Path(__file__).with_name("tflite_abi_check.cc")
OURS = Path(__file__).parents[2] / "runtime" / "hosts" / "tflite_abi.h"


@pytest.fixture(scope="module")
def headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = headers_of("libtensorflow-lite-dev", "sid", tmp_path_factory.mktemp("apt"))
    return root / "usr" / "include"


def test_declaration_agrees_with_the_real_headers(headers: Path) -> None:
    done = compile_check(CHECK, headers)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "noticed"),
    [
        (
            "  size_t bytes;\n  const void *mapping;\n",
            "  const void *mapping;\n  size_t bytes;\n",
            "TfLiteTensor.bytes",
        ),
        ("int count, int *first);", "int64_t count, int *first);", "TfLiteContext.AddTensors"),
        ("void *unused[15];", "void *unused[14];", "TfLiteContext"),
        ("kInt8 = 9", "kInt8 = 10", "kTfLiteInt8"),
    ],
)
def test_a_mistake_would_be_noticed(
    headers: Path, tmp_path: Path, right: str, wrong: str, noticed: str
) -> None:
    (tmp_path / "hosts").mkdir()
    text = OURS.read_text()
    assert text.count(right) == 1
    (tmp_path / "hosts" / "tflite_abi.h").write_text(text.replace(right, wrong))
    done = compile_check(CHECK, headers, f"-I{tmp_path}")
    assert f"static assertion failed: {noticed}\n" in done.stderr
