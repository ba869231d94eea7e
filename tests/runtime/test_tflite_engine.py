"""Which interpreter is taken, and what the old one is not trusted with."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from tflite_files import dense, packed

from smalti.runtime import MissingRuntimeError, Session, tflite_engine
from smalti.runtime.artifact import open_artifact
from smalti.runtime.doctor import diagnose


@pytest.fixture
def old(monkeypatch):
    """tflite-runtime in place of LiteRT."""
    package, interpreter = ModuleType("tflite_runtime"), ModuleType("tflite_runtime.interpreter")
    package.interpreter = interpreter
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", package)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", interpreter)
    return interpreter


def test_litert_comes_first():
    found = tflite_engine.import_tflite_engine()
    assert found.interpreter.__name__ == "ai_edge_litert.interpreter" and not found.is_old


def test_tflite_runtime_needs_an_old_numpy(old):
    assert int(np.__version__.split(".")[0]) >= 2, "this test is about numpy 2"
    with pytest.raises(MissingRuntimeError, match=r"does not work with numpy 2.*'numpy<2'"):
        tflite_engine.import_tflite_engine()


def test_tflite_runtime_is_refused_quantized_weights(old, monkeypatch):
    monkeypatch.setattr(tflite_engine, "np", SimpleNamespace(__version__="1.26.4"))
    assert tflite_engine.import_tflite_engine() == (old, True)
    artifact = SimpleNamespace(path="m.tflite", quantized=("dense.weight",), native_nodes=0)
    with pytest.raises(MissingRuntimeError, match=r"zeros for quantized weights such as 'dense.w"):
        tflite_engine.TFLiteEngine(artifact, 1, "require")


def test_no_engine_at_all(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", None)
    (tmp_path / "m.tflite").write_bytes(packed(dense()))
    with pytest.raises(MissingRuntimeError, match=r"LiteRT is missing.*pip install 'smalti\[tfl"):
        Session(tmp_path / "m.tflite")
    assert open_artifact(tmp_path / "m.tflite").engine == "tflite"


def test_doctor_wants_one_engine(monkeypatch):
    def engines():
        return {f["check"]: f["status"] for f in diagnose() if f["check"].startswith("engine")}

    assert engines() == {"engine for .onnx": "ok", "engine for .tflite": "ok"}
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime", None)
    assert engines() == {"engine for .onnx": "ok", "engine for .tflite": "absent"}
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert engines() == {"engine for .onnx": "missing", "engine for .tflite": "missing"}
