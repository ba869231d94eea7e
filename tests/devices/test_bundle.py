"""`smalti bundle` with made-up wheels, which pip takes for real ones; no network."""

import json
import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from bundled_wheels import BUNDLED_PIP, OTHERS, make
from click.testing import CliRunner
from onnx import helper, numpy_helper

from smalti.devices import device_names, read_device
from smalti.devices.targets import TARGETS
from smalti.export.cli import main

pytest.importorskip("cyclonedx", reason="no cyclonedx; pip install 'smalti[bundle]'")
pytest.importorskip("pip", reason="no pip; python -m ensurepip")

ROOT = Path(__file__).parents[2]
SHAPES = (("x", 1024), ("y", 512))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("index"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An .onnx file of another tool, with its weights in a file beside it."""
    path = tmp_path_factory.mktemp("model") / "a net's.onnx"
    weights = numpy_helper.from_array(np.zeros((64, 64), np.float32), "w")
    ports = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 64]) for n in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [weights])
    onnx.save(
        helper.make_model(graph),
        path,
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    return path


@pytest.fixture
def bundle(made, model, tmp_path):
    """Call the command; return its result, and the folder."""

    def call(device, *more, out=tmp_path / "out", file=model):
        options = ["--wheels", made.dist, "--find-links", made.index, "-o", out, *more]
        arguments = ["bundle", file, "--device", device, *options]
        return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False), out

    return call


@pytest.fixture(scope="module")
def here(made, model, tmp_path_factory):
    """A bundle for this machine, made once."""
    device = "rpi5" if platform.machine() == "aarch64" else "laptop-x86"
    out = tmp_path_factory.mktemp("here") / "out"
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    options = ["--wheels", made.dist, "--find-links", made.index, "-o", out, "--python", python]
    arguments = ["bundle", model, "--device", device, *options, "--json"]
    done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return SimpleNamespace(folder=out, said=json.loads(done.stdout))


def files(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def start(folder, *arguments):
    command = ["sh", str(folder / "run.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_folder_holds_the_model_wheels_and_no_more(here):
    wheels = {f"{name}-1.0-py3-none-any.whl" for name in (*OTHERS, "only_here")}
    found = {path.name for path in (here.folder / "wheels").iterdir()}
    pip = {name for name in found if name.startswith("pip-")}
    ours = {name for name in found if name.startswith("smalti-")}
    assert found - pip - ours == wheels
    assert len(pip) == len(ours) == 1
    assert {"model/a net's.onnx", "model/w.bin"} <= files(here.folder)
    assert files(here.folder) == set(here.said["files"])
    assert len((here.folder / "README.txt").read_text().splitlines()) <= 10


def test_requirements_are_those_of_the_device(made, bundle):
    device = "rpi5" if made.there == "aarch64" else "laptop-x86"
    done, out = bundle(device)
    assert done.exit_code == 0, done.stderr
    found = {path.name.split("-")[0] for path in (out / "wheels").iterdir()}
    assert found == {*OTHERS, "only_there", "pip", "smalti"}
    (ours,) = (out / "wheels").glob("smalti-*")
    assert made.there in ours.name


def test_sums_hold_for_every_file_and_find_a_flipped_bit(here, tmp_path):
    listed = (here.folder / "SHA256SUMS").read_text().splitlines()
    assert {line[66:] for line in listed} == files(here.folder) - {"SHA256SUMS"}
    check = ["sha256sum", "-c", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=here.folder, check=False).returncode == 0
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", here.folder, copy], check=True)
    (copy / "model" / "w.bin").write_bytes(b"\1" + bytes(64 * 64 * 4 - 1))
    done = start(copy)
    assert (done.returncode, "w.bin: FAILED" in done.stdout) == (4, True)
    assert "files are damaged" in done.stderr
    assert not (copy / "venv").exists()


def test_the_bill_of_materials_keeps_the_schema_and_names_all_files(here):
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    text = (here.folder / "sbom.cdx.json").read_text()
    pytest.importorskip("jsonschema", reason="pip install 'cyclonedx-python-lib[json-validation]'")
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    parts = {part["bom-ref"]: part for part in json.loads(text)["components"]}
    assert set(parts) == files(here.folder) - {"SHA256SUMS", "sbom.cdx.json"}
    sums = (line.split("  ") for line in (here.folder / "SHA256SUMS").read_text().splitlines())
    digests = {name: digest for digest, name in sums}
    assert all(part["hashes"][0]["content"] == digests[name] for name, part in parts.items())
    (ours,) = (part for part in parts.values() if part["name"] == "smalti")
    assert ours["version"] == "1.0"
    assert ours["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    licences = {part["name"]: part.get("licenses") for part in parts.values()}
    assert licences["rich"] == [{"license": {"id": "MIT"}}]
    assert licences["numpy"] == [{"license": {"name": "BSD License"}}]
    assert licences["only-here"] == [{"license": {"name": "not stated"}}]
    assert parts["model/w.bin"]["type"] == "machine-learning-model"


@pytest.mark.skipif(
    not BUNDLED_PIP, reason="no wheel of pip in ensurepip; apt install python3-venv"
)
def test_the_script_installs_once_and_does_all_three(here):
    first = start(here.folder)
    model = here.folder / "model" / "a net's.onnx"
    assert first.returncode == 0, first.stderr
    wanted = ["smalti doctor 1", f"smalti run {model} 1", f"smalti bench {model} 1"]
    assert first.stdout.splitlines() == wanted
    assert "installing into" in first.stderr
    second = start(here.folder, "run", "-o", "a b")
    assert second.stdout.splitlines() == [f"smalti run {model} -o a b 1"]
    assert "installing" not in second.stderr


def test_the_script_refuses_another_machine(bundle, made):
    done, out = bundle("rpi5" if made.there == "aarch64" else "laptop-x86")
    assert done.exit_code == 0
    refused = start(out)
    assert refused.returncode == 4
    assert "make the bundle with another --python or --device" in refused.stderr
    assert not (out / "venv").exists()


def test_a_bundle_is_replaced_and_nothing_else_is(bundle):
    _, out = bundle("rpi5")
    before = files(out)
    (out / "venv").mkdir()
    (out / "venv" / "installed").touch()
    done, _ = bundle("rpi5")
    assert (done.exit_code, files(out)) == (0, before)
    (out / "mine.npy").touch()
    done, _ = bundle("rpi5")
    assert (done.exit_code, "mine.npy" in done.stderr) == (2, True)
    assert files(out) == before | {"mine.npy"}
    (out / "SHA256SUMS").unlink()
    done, _ = bundle("rpi5")
    assert (done.exit_code, "no bundle" in done.stderr) == (2, True)
    assert os.listdir(out.parent) == ["out"]


@pytest.mark.parametrize(
    ("device", "more", "code", "says"),
    [
        ("phone-flagship", (), 2, "Android has no pip"),
        ("spacemit-k1", (), 2, "no wheels of ONNX Runtime and numpy for riscv64; --c"),
        ("spacemit-k1", ("--c",), 4, "make wheel-riscv64"),
        ("laptop-x86", ("--container",), 2, "the image is made of wheels for arm64"),
        ("rpi5", ("--wheels", "/nowhere"), 4, "make wheel-arm64"),
        ("rpi5", ("--find-links", "/nowhere"), 4, "--find-links a folder of them"),
        ("rpi5", ("--python", "3.9"), 4, "is for Python >=3.11"),
    ],
)
def test_what_cannot_be_had_is_named_with_the_mend(bundle, device, more, code, says):
    done, out = bundle(device, *more)
    assert done.exit_code == code
    assert says in done.stderr
    assert not out.parent.exists() or os.listdir(out.parent) == []


def test_for_c_programs_there_is_the_archive(bundle, tmp_path):
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "smalti-0.1.0-riscv64.tar.gz").write_bytes(b"a library")
    done, out = bundle("spacemit-k1", "--c", "--wheels", dist)
    assert done.exit_code == 0, done.stderr
    archive = "c/smalti-0.1.0-riscv64.tar.gz"
    others = {"README.txt", "SHA256SUMS", "sbom.cdx.json", "model/a net's.onnx", "model/w.bin"}
    assert files(out) == {archive, *others}
    assert "glibc 2.31" in (out / "README.txt").read_text()


def test_warnings_about_memory_and_the_engine(bundle, tmp_path):
    profile = (ROOT / "devices" / "rpi5.toml").read_text()
    small = profile.replace('engine = "onnx"', 'engine = "tflite"').replace("8590", "1")
    (tmp_path / "small.toml").write_text(small)
    file = tmp_path / "large.onnx"
    weights = numpy_helper.from_array(np.zeros((1024, 512), np.float32), "w")
    ports = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, s]) for n, s in SHAPES]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    onnx.save(
        helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:], [weights])), file
    )
    done, _ = bundle(tmp_path / "small.toml", file=file)
    assert done.exit_code == 0, done.stderr
    assert "prefers LiteRT, large.onnx takes ONNX Runtime" in done.stderr
    assert "large.onnx needs 2 MB by prediction, rpi5 has 1" in done.stderr
    assert "warning" not in bundle("rpi5", file=file)[0].stderr


def test_targets_are_those_that_make_builds():
    sys.path.insert(0, str(ROOT / "devices" / "toolchain"))
    import packages

    theirs = {name: target.platform for name, target in packages.TARGETS.items()}
    ours = {t.name: f"manylinux_2_{t.glibc}_{t.machine}" for t in TARGETS.values()}
    assert ours == theirs
    names = {read_device(name).toolchain for name in device_names()}
    assert names <= {*TARGETS, "aarch64-linux-android"}


def test_the_extra_has_what_the_command_asks_for():
    from smalti.devices.bundle import NEEDS

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = " ".join(project["optional-dependencies"]["bundle"])
    assert all(name in extra for name in NEEDS)
