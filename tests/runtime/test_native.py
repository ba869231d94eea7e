import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from smalti.runtime import c_types, native
from smalti.runtime.native import NativeError

X = np.arange(24, dtype=np.float32).reshape(3, 8)
ROTATION = {"block": 8, "seed": 1}


def find_and_load(monkeypatch: pytest.MonkeyPatch, path: Path) -> object:
    monkeypatch.setenv("SMALTI_LIBRARY", str(path))
    return native._library.__wrapped__()


def test_it_is_there() -> None:
    assert native.library_path().name.startswith("libsmalti")
    assert native.library_path().is_absolute()
    assert native.version()[0].isdigit()
    assert native.kernels_created() >= 0


def test_a_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(NativeError, match="no native library at .*reinstall.*make"):
        find_and_load(monkeypatch, tmp_path / "libsmalti.so")


def test_a_library_of_another_cpu_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = bytearray(native.library_path().read_bytes())
    image[18] = 0xF3  # e_machine: RISC-V
    path = tmp_path / "libsmalti.so"
    path.write_bytes(image)
    with pytest.raises(NativeError, match=r"does not load: .*reinstall smalti for this machine"):
        find_and_load(monkeypatch, path)


def test_any_other_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Path(sys.modules["numpy._core._multiarray_umath"].__file__ or "")
    with pytest.raises(NativeError, match="does not load: .*smalti_version"):
        find_and_load(monkeypatch, other)


def test_levels() -> None:
    assert native.isas()[0] == "portable"
    assert native.isa() in native.isas()
    before = native.isa()
    for isa in native.isas():
        with native.forced_isa(isa):
            assert native.isa() == isa
    with pytest.raises(ZeroDivisionError), native.forced_isa("portable"):
        1 / 0  # noqa: B018
    assert native.isa() == before
    with pytest.raises(ValueError, match=f"no level 'mmx'; it has {', '.join(native.isas())}"):
        native.set_isa("mmx")


CPU = Path("/proc/cpuinfo")
FLAGS = {
    "avx2": "avx avx2 fma f16c movbe popcnt bmi1 bmi2 abm",
    "avxvnni": "avx2 avx_vnni",
    "avx512": "avx2 avx512f avx512bw avx512cd avx512dq avx512vl avx512vbmi avx512_vnni",
}


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not CPU.exists(), reason="there is no list of x86's flags"
)
def test_levels_are_those_that_the_kernel_knows_of() -> None:
    found = re.search(r"^flags\s*:(.*)$", CPU.read_text(), re.M)
    assert found
    flags = set(found[1].split())
    assert native.isas() == ["portable", *(k for k, v in FLAGS.items() if set(v.split()) <= flags)]


@pytest.mark.parametrize(("name", "note"), [("portable", ""), ("mmx", "SMALTI_ISA=mmx is not")])
def test_level_by_environment(name: str, note: str) -> None:
    code = "from smalti.runtime import native; print(native.isa())"
    environment = {**os.environ, "SMALTI_ISA": name}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (name if name in native.isas() else native.isas()[-1])
    assert note in done.stderr
    assert bool(note) == bool(done.stderr)


def test_signature() -> None:
    found = native.signature("VQMatMul")
    assert list(found.inputs) == ["x", "codes", "scales", "grid", "bias"]
    assert found.optional_inputs == ["bias"]
    assert found.attributes == {"out_features": "int", "step": "float", "int8": "int"}
    with pytest.raises(NativeError, match="no operator 'Foo'; the library has HadamardTransform"):
        native.signature("Foo")


def test_inputs_by_name_and_by_position() -> None:
    by_name = native.run_op("HadamardTransform", {"x": X}, ROTATION)
    assert np.array_equal(native.run_op("HadamardTransform", [X], ROTATION), by_name)
    swapped = {"seed": 1, "block": 8}
    assert np.array_equal(native.run_op("HadamardTransform", [X], swapped), by_name)


@pytest.mark.parametrize("view", [X.T.copy().T, X[::-1], np.repeat(X, 2, 1)[:, ::2]])
def test_views(view: np.ndarray) -> None:
    wanted = native.run_op("HadamardTransform", [view.copy()], ROTATION)
    assert np.array_equal(native.run_op("HadamardTransform", [view], ROTATION), wanted)


@pytest.mark.parametrize("threads", [-1, 0, 1, 2, 1000])
def test_threads(threads: int) -> None:
    x = np.ones((3000, 64), np.float32)
    wanted = native.run_op("HadamardTransform", [x], {"block": 64, "seed": 0})
    found = native.run_op("HadamardTransform", [x], {"block": 64, "seed": 0}, threads)
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ({"y": X}, ROTATION, "HadamardTransform has no input 'y'; it takes x"),
        ({"x": X}, {**ROTATION, "axis": 0}, "no attribute 'axis'; it takes block, seed"),
        ({"x": X}, {"block": 8}, "HadamardTransform: 1 attributes"),
        ([], ROTATION, "input 'x' is missing"),
        ([X, X], ROTATION, "2 inputs are given"),
        ([X.astype(np.float64)], ROTATION, "pass f32"),
        ([X.astype(np.int8)], ROTATION, "input 'x' is i8"),
        ([np.float32(1)], ROTATION, "x: a scalar"),
        ([X.reshape((1,) * 7 + (3, 8))], ROTATION, "rank 9"),
    ],
)
def test_refusals(inputs: native.Inputs, attributes: dict[str, int], message: str) -> None:
    with pytest.raises(NativeError, match=message):
        native.run_op("HadamardTransform", inputs, attributes)


def test_c_callers_may_pass_nonsense() -> None:
    c = c_types.load(str(native.library_path()))
    assert c.smalti_op_name(-1) is None
    assert c.smalti_op_name(c.smalti_op_count()) is None
    assert c.smalti_op_signature(99) is None
    assert c.smalti_isa_name(99) is None
    assert c.smalti_set_isa(None) != 0
    assert c.smalti_run(None, None, 0, None, 0, None, 1, None, 0) != 0
    tensor, out = c_types.Tensor.of(X), c_types.Tensor()
    values = (c_types.Attribute * 2)(
        *(c_types.Attribute.of(key, "int", value) for key, value in ROTATION.items())
    )
    call = (b"HadamardTransform", tensor, 1, values, 2)
    assert c.smalti_run(*call, None, 1, None, 0) != 0
    assert c.smalti_run(*call, out, 1, None, 0) != 0  # not shaped
    assert c.smalti_shape(*call, out, None, 0) == 0
    assert list(out.dims[: out.rank]) == [3, 8]
    assert c.smalti_run(*call, out, 1, None, 0) != 0  # no memory behind it
    assert c.smalti_shape(b"HadamardTransform", tensor, -1, values, 2, out, None, 0) != 0
    assert c.smalti_shape(b"HadamardTransform", None, 1, values, 2, out, None, 0) != 0
    assert c.smalti_shape(b"HadamardTransform", tensor, 1, None, 2, out, None, 0) != 0
