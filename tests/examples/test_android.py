"""The Android example, on this machine's Java: it compiles, loads, and its delegate runs a file."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch
from building import ROOT, called, compiler, package_file, succeeded, tool
from torch import nn

from smalti.runtime import native
from smalti.runtime.session import Session

SOURCES = ROOT / "examples" / "android"
STUBS = Path(__file__).parent / "java"


@pytest.fixture(scope="module")
def glue(tmp_path_factory):
    """libsmalti_jni.so, which finds libsmalti.so as it does on a phone: in the folder of its own."""
    home = Path(tool("javac")).resolve().parents[1]
    if not (home / "include" / "jni.h").exists():
        pytest.skip(f"{home} has no jni.h; install a JDK")
    folder = tmp_path_factory.mktemp("jni")
    library = folder / "libsmalti.so"
    library.symlink_to(native.library_path().resolve())
    made = folder / "libsmalti_jni.so"
    include = [home / "include", home / "include" / "linux", ROOT / "runtime" / "include"]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-rpath,$ORIGIN"]
    source = SOURCES / "smalti_jni.c"
    succeeded(compiler(), *flags, *(f"-I{i}" for i in include), source, library, "-o", made)
    return made


def test_a_delegate_in_java(glue, tmp_path):
    sources = [STUBS / "Main.java", STUBS / "org" / "tensorflow" / "lite" / "Delegate.java"]
    sources.append(SOURCES / "java" / "org" / "smalti" / "SmaltiDelegate.java")
    succeeded(tool("javac"), "-Xlint:all", "-Werror", "-d", tmp_path, *sources)
    run = [tool("java"), "-Xcheck:jni", f"-Djava.library.path={glue.parent}", "-cp", tmp_path]
    printed = succeeded(*run, "Main").splitlines()
    assert printed == [
        f"{native.version()} different true",
        "this SmaltiDelegate is closed; create another",
    ]


class FromTheGlue:
    """A delegate as Python's interpreter takes it, created by the function that Java calls."""

    def __init__(self, glue):
        self._library = ctypes.CDLL(str(glue))
        create = self._library.Java_org_smalti_SmaltiDelegate_create
        create.restype = ctypes.c_int64
        self._handle = create(None, None)

    def _get_native_delegate_pointer(self):
        return self._handle

    def close(self):
        destroy = self._library.Java_org_smalti_SmaltiDelegate_destroy
        destroy(None, None, ctypes.c_int64(self._handle))


def test_what_java_creates_runs_a_file(glue, tmp_path):
    package_file("ai_edge_litert", "interpreter.py")
    from ai_edge_litert.interpreter import Interpreter

    from smalti.export.tflite import export_tflite
    from smalti.quant import quantize_

    x = torch.randn(4, 256)
    module = nn.Sequential(nn.Linear(256, 128), nn.GELU(), nn.Linear(128, 128)).eval()
    layers = quantize_(module, "vq-2x64-g128")
    path = tmp_path / "m.tflite"
    export_tflite(module, (x,), path, layers=layers)
    delegate = FromTheGlue(glue)
    engine = Interpreter(str(path), experimental_delegates=[delegate])
    engine.allocate_tensors()
    engine.set_tensor(engine.get_input_details()[0]["index"], x.numpy())
    engine.invoke()
    found = engine.get_tensor(engine.get_output_details()[0]["index"])
    np.testing.assert_array_equal(found, Session(path).run(x.numpy())[0])
    del engine
    delegate.close()


def test_its_project_is_sound(tmp_path):
    """Configured for a desktop, which has no toolchain file but the same targets."""
    tool("javac")
    compiler()
    done = called(tool("cmake"), "-S", SOURCES, "-B", tmp_path)
    if "Could NOT find JNI" in done.stderr:
        pytest.skip("CMake finds no JNI on this machine")
    assert done.returncode == 0, done.stderr
    assert "smalti_jni" in succeeded("cmake", "--build", tmp_path, "--target", "help")
