"""`smalti devices`, and what other commands do with a device."""

import json
import tomllib

import pytest
from test_cli import smalti

from smalti.devices import read_device
from smalti.quant.plan import Plan


@pytest.fixture(scope="module")
def file(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("devices") / "q.onnx"
    smalti("export", recipe, "--format", "vq-2x64", "-o", path)
    return path


def test_devices_are_listed_and_shown():
    listed = {row["name"]: row for row in json.loads(smalti("devices", "--json"))}
    assert listed["rpi5"]["cores"][0]["name"] == "Cortex-A76"
    shown = smalti("devices", "show", "rpi5")
    assert "product brief" in shown
    assert "(derived)" in shown
    assert json.loads(smalti("devices", "show", "rpi5", "--json"))["memory"]["bus_bits"] == 32
    assert "no device 'rpi6'" in smalti("devices", "show", "rpi6", code=2)


def test_this_machine_is_measured(tmp_path, monkeypatch, file):
    monkeypatch.setattr("smalti.devices.detect._SECONDS", 0.002)
    found = json.loads(smalti("devices", "detect", "-o", tmp_path / "mine.toml", "--json"))
    assert read_device(tmp_path / "mine.toml").measured.node_us == found["measured"]["node_us"]
    assert "(measured)" in smalti("devices", "show", tmp_path / "mine.toml")
    assert "(measured)" in smalti("inspect", file, "--device", tmp_path / "mine.toml")


def test_inspect_predicts_every_layer_and_the_total(file):
    found = json.loads(smalti("inspect", file, "--device", "rpi4", "--json"))
    layers = {layer["layer"]: layer for layer in found["layers"]}
    assert {"conv", "hidden", "head"} <= set(layers)
    assert layers["head"]["kind"] == "vq-2x64"
    assert sum(layer["ms"] for layer in layers.values()) <= found["ms"]
    assert not found["measured"]
    one = json.loads(smalti("inspect", file, "--device", "rpi4", "--threads", 1, "--json"))
    assert one["threads"] == 1
    assert one["ms"] > found["ms"]
    assert "not checked" in smalti("inspect", file, "--device", "rpi4")


SLOW = """
name = "slow"
title = "All time is spent reading weights: 1 MB/s"
isa = ["neon"]
engine = "onnx"
[[cores]]
name = "core"
count = 1
clock_ghz = 1.5
vector_bits = 128
[memory]
bus_bits = 8
mega_transfers = 1
sustained = 1
"""


def plan(recipe, tmp_path, *limits):
    options = ("--data", "random", "--rounding", "nearest", "--jobs", 1)
    path, device = tmp_path / "plan.toml", tmp_path / "slow.toml"
    device.write_text(SLOW)
    done = smalti("plan", recipe, "--device", device, *limits, *options, "-o", path, "--json")
    return json.loads(done), tomllib.loads(path.read_text())


def test_a_plan_keeps_limits_of_time_and_memory(recipe, tmp_path):
    formats = ("--format", "vq-2x16", "--format", "int8")
    free, _ = plan(recipe, tmp_path, "--max-ms", 1e6, *formats)
    assert {layer["format"] for layer in free["layers"]} == {"float"}
    limit = 0.3 * free["ms"]
    fast, stored = plan(recipe, tmp_path, "--max-ms", limit, *formats)
    assert fast["ms"] <= limit
    assert stored["plan"]["device"] == "slow"
    assert stored["plan"]["ms"] == fast["ms"]
    Plan.read(tmp_path / "plan.toml")
    small, _ = plan(recipe, tmp_path, "--max-ram", "400kB", *formats)
    assert small["bytes"] < 400_000 < free["bytes"]


def test_limits_that_nothing_keeps_are_refused(recipe):
    common = ("plan", recipe, "--dry-run", "--data", "random", "--rounding", "nearest")
    assert "give --device" in smalti(*common, "--max-ms", 1, code=2)
    assert "leave --bits" in smalti(
        *common, "--max-ram", "1MB", "--bits", 3, "--device", "rpi4", code=2
    )
    assert "of memory: less than the" in smalti(
        *common, "--max-ram", "1kB", "--device", "rpi4", code=2
    )
    assert "out of reach" in smalti(*common, "--max-ms", 1e-6, "--device", "rpi4", code=2)
