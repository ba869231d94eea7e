"""Profiles: those that come along, and what a wrong one is told."""

import pytest

from smalti.devices.profile import (
    Cores,
    Device,
    DeviceError,
    Measured,
    Rate,
    device_names,
    read_device,
)
from smalti.devices.speeds import speeds

GOOD = """
name = "x"
title = "X"
isa = ["neon"]
engine = "onnx"
[[cores]]
name = "core"
count = 2
clock_ghz = 1.5
vector_bits = 128
[memory]
bus_bits = 32
mega_transfers = 3200
sustained = 0.5
"""


@pytest.mark.parametrize("name", device_names())
def test_every_figure_has_a_source(name):
    device = read_device(name)
    assert device.name == name
    given = {"cores", "isa", "memory", "sustained", "vector_bits"}
    given |= {field for field in ("ram_mb", "cache_mb") if getattr(device, field)}
    assert set(device.source) == given
    assert "assumed" in device.source["sustained"]
    assert "derived" in device.source["vector_bits"] or "assumed" in device.source["vector_bits"]


def test_bandwidth_is_bus_width_times_transfers():
    assert read_device("rpi4").memory.peak == pytest.approx(12.8)
    assert read_device("graviton3").memory.peak == pytest.approx(307.2)


def test_derived_rates_follow_the_instruction_set():
    old, new = speeds(read_device("rpi4")), speeds(read_device("rpi5"))
    ratio = new.rates["vq-2x64"][0][1] / old.rates["vq-2x64"][0][1]
    assert ratio == pytest.approx((2.4 * 256 / 8) / (1.5 * 128 / 16))
    assert not new.measured
    assert speeds(read_device("rpi5"), 1).rates["float"][0][1] * 4 == pytest.approx(
        new.rates["float"][0][1]
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('engine = "onnx"', 'engine = "tvm"', "engine = 'tvm'; use onnx or tflite"),
        ("count = 2", "count = 2.5", "cores.count = 2.5; write a whole number above 0"),
        ("count = 2", "count = true", "cores.count = True"),
        ("bus_bits = 32", "bus_bits = -1", "memory.bus_bits = -1; write a whole number above 0"),
        ("bus_bits = 32", "", "memory.bus_bits is missing; add it"),
        ("sustained = 0.5", "sustained = nan", "memory.sustained = nan"),
        ('isa = ["neon"]', 'isa = "neon"', "isa = 'neon'; write a list"),
        ('isa = ["neon"]', "isa = [1]", "isa = 1; write a text in quotes"),
        ('title = "X"', 'titel = "X"', "titel is unknown"),
        ('title = "X"', "title =", "no TOML"),
        ("[memory]", "[memory.x]", "memory.x is unknown"),
        ("[[cores]]", "[cores]", "write a list"),
    ],
)
def test_a_wrong_profile_is_told_field_value_and_mend(tmp_path, old, new, message):
    assert old in GOOD
    file = tmp_path / "x.toml"
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(DeviceError) as error:
        read_device(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(DeviceError, match=r"no device 'rpi6'; smalti has .*rpi5"):
        read_device("rpi6")


def test_what_is_missing_for_a_prediction_is_named(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text(GOOD.replace("vector_bits = 128", ""))
    with pytest.raises(DeviceError, match="cores core have no vector_bits; add it"):
        speeds(read_device(file))


def test_a_measured_profile_comes_back_as_it_was(tmp_path):
    rates = (Rate(kind="float", rows=1, one=2.0, all=3.5),)
    measured = Measured(bandwidth_one=9.5, bandwidth_all=12.0, node_us=1.0, run_us=9.0, rates=rates)
    cores = (Cores(name='"quoted" \\ core', count=4, clock_ghz=1.5), Cores(name="b", count=2))
    device = Device(
        name="mine", title="M", isa=("neon",), engine="onnx", cores=cores, measured=measured
    )
    device.write(tmp_path / "mine.toml")
    assert read_device(tmp_path / "mine.toml") == device
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]


def test_threads_between_one_and_all_share_the_gain():
    rates = (Rate(kind="float", rows=1, one=1.0, all=4.0),)
    measured = Measured(bandwidth_one=1.0, bandwidth_all=2.5, node_us=1.0, run_us=1.0, rates=rates)
    device = Device(
        name="m", title="M", isa=(), engine="onnx",
        cores=(Cores(name="c", count=4),), measured=measured,
    )  # fmt: skip
    found = [speeds(device, n).rates["float"][0][1] for n in (1, 2, 4, 99)]
    assert found == [1.0, 2.0, 4.0, 4.0]
    assert speeds(device, 3).bandwidth == 2.0
