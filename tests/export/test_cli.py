import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tflite_files
from click.testing import CliRunner

from smalti.export.cli import main
from smalti.export.translate import load_ops


def smalti(*arguments, code=0):
    """Run a command in this process; return its stdout."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.stderr
    return result.stdout if code == 0 else result.stderr


@pytest.fixture(scope="module")
def files(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    layers = json.loads(
        smalti("export", recipe, "--format", "vq-2x64", "--format", "head=vq-1x16-row",
               "-o", folder / "q.onnx", "--json")
    )  # fmt: skip
    smalti("export", recipe, "--format", "float", "-o", folder / "f.onnx")
    np.save(folder / "tokens.npy", np.arange(20).reshape(2, 10))
    return folder, layers


def test_export_reports_every_layer(files):
    _, report = files
    formats = {layer["name"]: layer["format"] for layer in report["layers"]}
    assert formats == {
        "embed": "vq-2x64-g128",
        "conv": "vq-2x64-g128",
        "hidden": "vq-2x64-g128",
        "head": "vq-1x16-row",
    }
    assert report["errors"][0] < 1e-2
    assert report["file_mb"] > 0


def test_run_describes_and_stores_outputs(files):
    folder, _ = files
    rows = json.loads(
        smalti("run", folder / "q.onnx", "--input", folder / "tokens.npy", "-o", folder, "--json")
    )
    assert rows[0]["shape"] == [2, 10]
    stored = np.load(folder / f"{rows[0]['output']}.npy")
    assert stored.mean() == pytest.approx(rows[0]["mean"])


def test_run_without_inputs_makes_them_up(files):
    assert "float32" in smalti("run", files[0] / "q.onnx", "--native", "off")


def test_bench_puts_the_float_row_first(files):
    folder, _ = files
    rows = json.loads(
        smalti("bench", folder / "q.onnx", "--baseline", folder / "f.onnx", "--seconds", 0.05,
               "--json")
    )  # fmt: skip
    assert [row["ratio"] for row in rows][0] == 1
    assert rows[0]["file_mb"] > rows[1]["file_mb"]
    assert all(row["p10_ms"] <= row["p50_ms"] <= row["p90_ms"] for row in rows)
    assert "(as float)" in smalti("bench", folder / "q.onnx", "--seconds", 0.05)


def test_compare_finds_the_layer(files):
    folder, _ = files
    message = smalti("compare", folder / "f.onnx", folder / "q.onnx", code=1)
    assert "the files part at" in message
    rows = json.loads(
        smalti("compare", folder / "f.onnx", folder / "q.onnx", "--limit", 1, "--json")
    )
    assert {"norm", "conv", "hidden", "head", "output 0"} <= {row["layer"] for row in rows}
    same = json.loads(smalti("compare", folder / "q.onnx", folder / "q.onnx", "--json"))
    assert all(row["error"] == 0 for row in same)


def test_inspect_checks_the_weights(files, tmp_path):
    folder, _ = files
    assert "vq-1x16-row" in smalti("inspect", folder / "q.onnx")
    data = bytearray((folder / "q.onnx").read_bytes())
    data[data.find(b"SMLT") + 500] ^= 1
    (tmp_path / "bad.onnx").write_bytes(data)
    assert "damaged weights" in smalti("inspect", tmp_path / "bad.onnx", code=3)


def test_inspect_takes_files_of_litert(tmp_path):
    contents, path = tflite_files.dense(), tmp_path / "m.tflite"
    path.write_bytes(tflite_files.packed(contents))
    assert "1 native nodes" in smalti("inspect", path)
    contents.metadata = None
    path.write_bytes(tflite_files.packed(contents))
    assert "not by smalti" in smalti("inspect", path)
    path.write_bytes(path.read_bytes()[:-60])
    assert "not a sound TFLite file" in smalti("inspect", path, code=3)


def test_ops_and_doctor_say_what_is_there():
    names = [op["name"] for op in json.loads(smalti("ops", "--json"))]
    assert set(names) == set(load_ops())
    checks = {row["check"]: row["status"] for row in json.loads(smalti("doctor", "--json"))}
    wanted = ("engine for .onnx", "engine for .tflite", "native library", "self-test")
    assert [checks[name] for name in wanted] == ["ok"] * 4


BAD_RECIPES = {
    "import torch": "needs a function model()",
    "1 / 0": "ZeroDivisionError",
    "def model(): pass": "needs a function example_inputs()",
}


@pytest.mark.parametrize("source", BAD_RECIPES)
def test_bad_recipes_are_usage_errors(tmp_path, source):
    (tmp_path / "r.py").write_text(source)
    output = tmp_path / "m.onnx"
    message = smalti("export", tmp_path / "r.py", "--format", "vq-2x64", "-o", output, code=2)
    assert BAD_RECIPES[source] in message
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["export", "{recipe}", "--format", "vq-9x9", "-o", "{tmp}/m.onnx"], 2, "smalti has"),
        (["export", "{recipe}", "--format", "int5", "-o", "{tmp}/m.onnx"], 2, "unknown format"),
        (["export", "{recipe}", "--format", "heed=vq-1x16", "-o", "{tmp}/m.onnx"], 2, "no layer"),
        (["export", "nowhere.py", "--format", "vq-2x64", "-o", "{tmp}/m.onnx"], 2, "no such file"),
        (["export", "no.such", "--format", "vq-2x64", "-o", "{tmp}/m.onnx"], 2, "importable"),
        (["export", "{recipe}", "-o", "{tmp}/m.onnx"], 2, "--format"),
        (["run", "{tmp}/none.onnx"], 3, "No such file"),
        (["run", "{model}", "--input", "{tmp}/none.npy"], 3, "none.npy"),
        (["run", "{model}", "--input", "{recipe}"], 3, "pass a .npy file"),
        (["inspect", "{recipe}"], 3, "not a whole ONNX file"),
    ],
)
def test_every_error_has_its_exit_code(files, recipe, tmp_path, arguments, code, says):
    places = {"recipe": recipe, "tmp": tmp_path, "model": files[0] / "q.onnx"}
    assert says in smalti(*(a.format(**places) for a in arguments), code=code)


def test_a_missing_library_is_exit_code_4(files, tmp_path):
    environment = {**os.environ, "SMALTI_LIBRARY": str(tmp_path / "none.so")}
    for command in (["run", files[0] / "q.onnx"], ["doctor"], ["ops"]):
        done = subprocess.run(
            [sys.executable, "-c", "from smalti.export.cli import main; main()", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 4, done.stderr
        assert "none.so" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_help_does_not_load_torch():
    code = (
        "import sys; from smalti.export.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'onnx', 'numpy', 'rich'} & set(sys.modules), 'slow help'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
