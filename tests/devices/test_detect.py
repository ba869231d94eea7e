"""Measuring a machine. What the numbers are is its business; that they make sense is ours."""

import onnx
import pytest

from smalti.devices.detect import bandwidth, detect
from smalti.devices.probe import probes
from smalti.devices.profile import read_device
from smalti.devices.speeds import speeds


def test_probes_are_sound_models():
    for probe in probes():
        model = onnx.load_from_string(probe.model.to_bytes())
        assert model.graph.input[0].name == "x"
        if not any(node.domain for node in model.graph.node):
            found = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
            dims = found.graph.output[0].type.tensor_type.shape.dim
            assert [d.dim_value for d in dims] == list(probe.model.shape)


def test_a_machine_is_measured_and_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr("smalti.devices.detect._SECONDS", 0.004)
    stages = []
    device = detect(stages.append)
    measured = device.measured
    assert {rate.kind for rate in measured.rates} == {probe.kind for probe in probes()}
    assert all(0.001 < rate.one < 1e5 for rate in measured.rates)
    assert 0 < measured.node_us < 1000
    assert "memory" in stages
    device.write(tmp_path / "mine.toml")
    assert read_device(tmp_path / "mine.toml") == device
    fast = speeds(device, 1)
    assert fast.measured
    # A product of many rows makes better use of a core than one of a single row.
    rates = dict(fast.rates["float"])
    assert rates[64] > rates[1]


@pytest.mark.parametrize("threads", [1, 2])
def test_memory_is_read_at_a_plausible_speed(monkeypatch, threads):
    monkeypatch.setattr("smalti.devices.detect._BUFFER", 32 << 20)
    monkeypatch.setattr("smalti.devices.detect._SECONDS", 0.01)
    assert 0.1 < bandwidth(threads) < 2000
