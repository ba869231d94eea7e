"""The C examples: built, and run on exported files against what a session gives."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch
from building import ROOT, called, compiler, package_file, succeeded, tool
from torch import nn

from smalti.quant import quantize_
from smalti.runtime import native
from smalti.runtime.session import Session

SOURCES = ROOT / "examples" / "c"


def built(folder, target, **paths):
    compiler()
    settings = {"SMALTI_LIBRARY": native.library_path(), **paths}
    succeeded(
        tool("cmake"), "-S", SOURCES, "-B", folder, *(f"-D{k}={v}" for k, v in settings.items())
    )
    succeeded("cmake", "--build", folder)
    return folder / target


@pytest.fixture(scope="session")
def litert():
    return package_file("ai_edge_litert", "libLiteRt.so")


@pytest.fixture(scope="session")
def run_tflite(litert, tmp_path_factory):
    return built(tmp_path_factory.mktemp("litert"), "run_tflite", LITERT_LIBRARY=litert)


@pytest.fixture(scope="session")
def run_onnx(ort_headers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ort")
    engine = folder / "libonnxruntime.so.1"  # what it calls itself; the package's name is longer
    engine.symlink_to(package_file("onnxruntime", "capi/libonnxruntime.so.1.*"))
    paths = {"ONNXRUNTIME_LIBRARY": engine, "ONNXRUNTIME_INCLUDE": ort_headers}
    return built(folder / "build", "run_onnx", **paths)


@pytest.fixture(scope="session")
def two_models(litert, tmp_path_factory):
    program = tmp_path_factory.mktemp("two") / "two_models"
    library = native.library_path()
    include = [f"-I{folder}" for folder in (SOURCES, ROOT / "runtime" / "include")]
    paths = [f"-Wl,-rpath,{found.parent}" for found in (library, litert)]
    source = Path(__file__).parent / "two_models.c"
    command = [compiler(), "-std=c11", "-DTHREADS=3", *include, source, library, litert, *paths]
    succeeded(*command, "-o", program)
    return program


def dense():
    return nn.Sequential(nn.Linear(256, 128), nn.GELU(), nn.Linear(128, 128))


def embedding():
    return nn.Sequential(nn.Embedding(64, 128), nn.Linear(128, 128))


def convolution(stride=1):
    return nn.Sequential(nn.Conv2d(64, 32, 3, padding=1, stride=stride))


ROWS, TOKENS, IMAGE = torch.randn(4, 256), torch.tensor([[3, 0, 63]]), torch.randn(1, 64, 8, 8)
MODELS = {
    "dense": (dense, ROWS, "vq-2x64-g128", "float"),
    "dense in integers": (dense, ROWS, "vq-2x64-g128", "int8"),
    "embedding": (embedding, TOKENS, "vq-2x64-g128", "float"),
    "convolution": (convolution, IMAGE, "vq-2x64-g64", "float"),
    "wide steps": (lambda: convolution(2), IMAGE, "vq-2x64-g64", "float"),
}


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Files by name and suffix, and their input, made when first asked for."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def export(name, suffix):
        path = folder / f"{name.replace(' ', '-')}{suffix}"
        if path not in made:
            make, x, form, activations = MODELS[name]
            torch.manual_seed(len(made))
            module = make().eval()
            layers = quantize_(module, form, activations=activations)
            writer(suffix)(module, (x,), path, layers=layers)
            made[path] = x.numpy()
        return path, made[path]

    return export


def writer(suffix):
    if suffix == ".onnx":
        from smalti.export import export_onnx

        return export_onnx
    pytest.importorskip("ai_edge_litert")
    from smalti.export.tflite import export_tflite

    return export_tflite


def outputs_of(program, path, folder, *arrays):
    files = [folder / f"input{i}.bin" for i in range(len(arrays))]
    for file, array in zip(files, arrays, strict=True):
        array.tofile(file)
    done = called(program, "-o", folder / "outputs.bin", path, *files)
    assert done.returncode == 0, done.stderr
    return np.fromfile(folder / "outputs.bin", np.float32), done.stderr


@pytest.mark.parametrize("name", MODELS)
def test_litert_from_c(run_tflite, exported, name, tmp_path):
    path, x = exported(name, ".tflite")
    found, _ = outputs_of(run_tflite, path, tmp_path, x)
    np.testing.assert_array_equal(found, Session(path).run(x)[0].ravel())


@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_from_c(run_onnx, exported, name, tmp_path):
    path, x = exported(name, ".onnx")
    found, _ = outputs_of(run_onnx, path, tmp_path, x)
    np.testing.assert_array_equal(found, Session(path, threads=1).run(x)[0].ravel())


@pytest.fixture(params=["run_tflite", "run_onnx"])
def program(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def model(program, exported):
    return exported("dense", {"run_tflite": ".tflite", "run_onnx": ".onnx"}[program.name])[0]


def test_without_inputs_and_without_a_file_for_the_outputs(program, model):
    done = called(program, model)
    assert done.returncode == 0
    numbers = done.stdout.split()
    zeros = np.zeros(MODELS["dense"][1].shape, np.float32)
    expected = Session(model, threads=1).run(zeros)[0].ravel()[:8]
    np.testing.assert_allclose(np.array(numbers[:8], np.float32), expected, rtol=1e-5)
    assert numbers[8:] == ["(2048", "bytes)"]


def test_what_cannot_be_run_is_told(program, model, tmp_path):
    (tmp_path / "short.bin").write_bytes(b"1234")
    missing = tmp_path / "nothing"
    for arguments, words in [
        ([], "usage"),
        ([missing], "has not run"),
        ([model, missing], "No such file"),
        ([model, tmp_path / "short.bin"], "the input has 4096 bytes; give a file of that size"),
        (["-o", missing / "y.bin", model], "No such file"),
    ]:
        done = called(program, *arguments)
        assert done.returncode == 1
        assert words in done.stderr


def test_which_call_of_an_engine_has_failed(run_tflite, run_onnx, tmp_path):
    assert "LiteRtCreateModelFromFile: status" in called(run_tflite, tmp_path / "no").stderr
    assert "CreateSession: " in called(run_onnx, tmp_path / "no").stderr


def test_an_index_that_is_out_of_range(run_tflite, exported, tmp_path):
    path, x = exported("embedding", ".tflite")
    found, errors = outputs_of(run_tflite, path, tmp_path, np.full_like(x, 64))
    assert np.isnan(found).all()
    assert "smalti.VQGather: " in errors


def changed(path, folder, change):
    """The file with its first VQMatMul changed: `change` takes the model and the operator."""
    from smalti.export.tflite_model import TFLiteModel

    whole = TFLiteModel.read(path.read_bytes())
    codes = [code.customCode for code in whole.root.operatorCodes]
    index = codes.index(b"smalti.VQMatMul")
    change(whole, next(o for o in whole.graph.operators if o.opcodeIndex == index))
    changed = folder / "changed.tflite"
    changed.write_bytes(whole.to_bytes())
    return changed


def attributes_buffer(whole, operator):
    return whole.root.buffers[whole.graph.tensors[operator.inputs[-1]].buffer]


def drop_attributes(whole, operator):
    operator.inputs = operator.inputs[:-1]


def drop_attributes_as_long_as_the_bias(whole, operator):
    options = np.asarray(operator.customOptions, np.uint8)
    operator.customOptions = np.concatenate([np.zeros(128 - len(options), np.uint8), options])
    drop_attributes(whole, operator)


def keep_one_input(whole, operator):
    operator.inputs = operator.inputs[:1]


def change_their_copy(whole, operator):
    buffer = attributes_buffer(whole, operator)
    buffer.data = np.asarray(buffer.data, np.uint8) ^ 1


def break_both(whole, operator):
    nonsense = np.full(len(operator.customOptions), 255, np.uint8)
    operator.customOptions = attributes_buffer(whole, operator).data = nonsense


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_attributes, "no node has 128 bytes of attributes; export the file again"),
        (keep_one_input, "its 1 inputs do not end with attributes; export the file again"),
        (break_both, "bytes of options are no FlexBuffers map; export it again"),
    ],
)
def test_files_that_litert_is_made_to_refuse(run_tflite, exported, tmp_path, change, words):
    path, _ = exported("dense", ".tflite")
    done = called(run_tflite, changed(path, tmp_path, change))
    assert done.returncode == 1
    assert "smalti.VQMatMul: " in done.stderr
    assert words in done.stderr
    assert "failed to prepare" in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop_attributes_as_long_as_the_bias, "its 5 inputs do not end with attributes"),
        (change_their_copy, "its last input is not its attributes; export the file again"),
    ],
)
def test_what_only_a_run_can_see(run_tflite, exported, tmp_path, change, words):
    path, x = exported("dense", ".tflite")
    found, errors = outputs_of(run_tflite, changed(path, tmp_path, change), tmp_path, x)
    assert np.isnan(found).all()
    assert f"smalti.VQMatMul: {words}" in errors


def run_two(two_models, options, folder, first, second, x):
    x.tofile(folder / "x.bin")
    done = called(two_models, options, folder / "y.bin", first, second, folder / "x.bin")
    return done, np.fromfile(folder / "y.bin", np.float32)


def expected_of(x, *paths):
    return np.concatenate([Session(path).run(x)[0].ravel() for path in paths])


def test_two_models_with_options_of_their_own(two_models, exported, tmp_path):
    (first, x), (second, _) = exported("convolution", ".tflite"), exported("wide steps", ".tflite")
    done, found = run_two(two_models, "own", tmp_path, first, second, x)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(found, expected_of(x, first, second, first))


def test_a_second_model_that_looks_like_the_first_is_refused(two_models, exported, tmp_path):
    (first, x), (second, _) = exported("convolution", ".tflite"), exported("wide steps", ".tflite")
    done, found = run_two(two_models, "shared", tmp_path, first, second, x)
    assert done.returncode == 20
    assert "smalti.VQConv: two models cannot be told apart; create options for each" in done.stderr
    np.testing.assert_array_equal(found, expected_of(x, first, first))


def test_models_with_the_same_options_that_do_not_look_alike(two_models, exported, tmp_path):
    names = "dense", "dense in integers"
    (first, x), (second, _) = [exported(name, ".tflite") for name in names]
    done, found = run_two(two_models, "shared", tmp_path, first, second, x)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(found, expected_of(x, first, second, first))


def test_arguments_that_are_null():
    add = ctypes.CDLL(str(native.library_path())).smalti_add_to_litert
    engine, something = ctypes.c_void_p * 4, ctypes.create_string_buffer(8)
    address = ctypes.addressof(something)
    invalid = 1
    assert add(None, engine(*[address] * 4), 1) == invalid
    assert add(something, None, 1) == invalid
    for i in range(4):
        functions = [address] * 4
        functions[i] = None
        assert add(something, engine(*functions), 1) == invalid
