"""`smalti models` finds the recipes; a tiny one runs in both engines, is cut off and goes on."""

import json
import subprocess
import sys
from importlib import import_module

import pytest
from click.testing import CliRunner

import smalti.models
from smalti.models.cli import main
from smalti.models.zoo import kept, listing, measure
from smalti.models.zoo.subject import Subject
from smalti.runtime.errors import CheckError

TINY = '''
"""A tiny recipe: sums of sines."""

import numpy as np
import torch
from torch import nn

from smalti.models.about import About

ABOUT = About(
    papers=("Nobody, Nemo 1999, Sums of Sines", "Nemo 2000, More Sines"),
    metric="error",
    rises=False,
    data="made here",
)
REMARK = "Two bits are few."


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 16))


def example_inputs():
    return (torch.randn(64, 128, generator=torch.Generator().manual_seed(1)),)


def calibration():
    for seed in range(8):
        yield (torch.randn(64, 128, generator=torch.Generator().manual_seed(seed)),)


def evaluate(run):
    x = example_inputs()[0].numpy()
    return {"error": float(np.abs(run(x)[0] - np.sin(x[:, :16])).mean())}


def picture(runs):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    for label, run in runs.items():
        figure.gca().plot(run(example_inputs()[0].numpy())[0][0], label=label)
    return figure
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A second folder of smalti.models, with a recipe that runs and one that lacks its data."""
    found = tmp_path_factory.mktemp("recipes")
    (found / "tiny.py").write_text(TINY.lstrip())
    lost = TINY.replace('"""A tiny', '"""No').replace(
        "    torch.manual_seed(0)", "    open('gone')"
    )
    (found / "lost.py").write_text(lost.lstrip())
    smalti.models.__path__.append(str(found))
    yield found
    smalti.models.__path__.remove(str(found))


def command(*arguments, code=0):
    """Run it in this process; return stdout, or stderr of a failure."""
    result = CliRunner().invoke(main, ["models", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.stderr
    return result.stdout if code == 0 else result.stderr


class Exports:
    """Lets `Subject.export` through, but for what is to fail, and counts."""

    def __init__(self, monkeypatch, failing=None):
        self.made, self._export, self._failing = [], Subject.export, failing or {}
        monkeypatch.setattr(Subject, "export", lambda *args: self(*args))

    def __call__(self, subject, row, engine, path):
        self.made.append((row, engine))
        if (row, engine) in self._failing:
            raise self._failing[row, engine]
        return self._export(subject, row, engine, path)


@pytest.fixture(autouse=True, scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "SECONDS", 0.01)
        patch.setattr(measure, "ROWS", ("float", "int8", "3 bit"))
        yield


@pytest.fixture(scope="module")
def measured(quick, folder, tmp_path_factory):
    """Cut off before the .tflite file in int8, then finished but for a file that is refused."""
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        first = Exports(patch, {("int8", "tflite"): KeyboardInterrupt()})
        command("run", "tiny", "--out", out, code=1)
    with pytest.MonkeyPatch.context() as patch:
        second = Exports(patch, {("3 bit", "onnx"): CheckError("the engine is moody")})
        text = command("run", "tiny", "--out", out)
    return out, first.made, second.made, text


def test_a_run_that_was_cut_off_goes_on(measured):
    out, first, second, _ = measured
    assert first == [
        ("float", "onnx"), ("float", "tflite"), ("int8", "onnx"), ("int8", "tflite"),
    ]  # fmt: skip
    assert second == [("int8", "tflite"), ("3 bit", "onnx"), ("3 bit", "tflite")]
    assert not list((out / "tiny").glob(".*"))


def test_fewer_bits_are_fewer_bytes_and_the_files_do_what_torch_does(measured):
    found = kept.read(measured[0] / "tiny")
    for engine, rows in (("onnx", ("float", "int8")), ("tflite", measure.ROWS)):
        files = [found.scores[row][engine] for row in rows]
        assert [f.bytes for f in files] == sorted((f.bytes for f in files), reverse=True)
        assert files[0].metrics["error"] == pytest.approx(found.torch["error"], rel=1e-5)
        assert files[0].error < 1e-5
        assert list(found.times[engine]) == list(rows)
        assert min(found.times[engine].values()) > 0
    assert found.parameters == 128 * 128 + 128 + 16 * 128 + 16


def test_a_refused_file_is_a_reason_in_the_table(measured):
    text = measured[3]
    assert "3 bit in ONNX Runtime: the engine is moody" in text
    assert "18,576 parameters" in text
    assert text.count(" kB") == 1 + 5
    assert (measured[0] / "tiny" / kept.PICTURE).stat().st_size < 60_000


def test_another_run_measures_what_is_missing(measured, monkeypatch):
    out, *_ = measured
    exports = Exports(monkeypatch)
    facts = json.loads(command("run", "tiny", "--out", out, "--target", "tflite", "--json"))
    assert not exports.made
    assert facts["tiny"]["scores"]["3 bit"]["onnx"]["reason"]
    command("run", "tiny", "--out", out)
    assert exports.made == [("3 bit", "onnx")]


def test_the_list_says_how_far_each_recipe_is(measured):
    rows = {row["name"]: row for row in json.loads(command("--out", measured[0], "--json"))}
    assert rows["tiny"]["paper"] == "Nobody, Nemo 1999"
    assert rows["tiny"]["parameters"] == 18_576
    assert rows["tiny"]["status"] == "6 files"
    assert rows["lost"]["status"] == ""
    assert "fashion" in rows


def test_missing_data_are_said_and_kept(folder, tmp_path):
    assert "lost: " in command("run", "lost", "--out", tmp_path, code=3)
    assert "gone" in kept.read(tmp_path / "lost").problem


def test_unknown_names_list_the_known():
    assert "no recipe 'mono'; there are" in command("run", "mono", code=2)


def test_what_the_list_reads_is_what_the_recipes_say():
    for recipe in listing.recipes():
        source = import_module(f"smalti.models.{recipe.name}")
        assert recipe.about == source.ABOUT
        assert recipe.cache == getattr(source, "CACHE", "")
        assert source.__doc__.startswith(recipe.text)


def test_the_list_does_not_wait_for_torch():
    code = (
        "import sys; from smalti.models.cli import main; main(['models'], standalone_mode=False);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_an_about_that_has_to_be_run_is_refused(tmp_path, monkeypatch):
    text = TINY.replace('metric="error"', "metric=METRIC")
    (tmp_path / "odd.py").write_text(text)
    monkeypatch.setattr(smalti.models, "__path__", [str(tmp_path)])
    with pytest.raises(ValueError, match=r"smalti.models.odd: ABOUT: .* literals"):
        listing.recipes()


def test_the_page_is_written_from_what_is_kept(measured, tmp_path, monkeypatch):
    monkeypatch.setattr(Subject, "__init__", None)  # nothing is run
    page = tmp_path / "docs" / "zoo.md"
    command("page", "--out", measured[0], "-o", page)
    text = page.read_text()
    assert "| [tiny](#tiny) | ONNX Runtime | error ↓ | " in text
    assert "A tiny recipe: sums of sines." in text
    assert "- in float within 0.0001 of Torch: yes" in text
    assert "Two bits are few." in text
    assert "| [fashion](#fashion) |  | accuracy ↑ | not measured" in text
    assert "![tiny](zoo/tiny.png)" in text
    assert (tmp_path / "docs" / "zoo" / "tiny.png").read_bytes()[1:4] == b"PNG"
