"""Sessions and artifacts, on files that were really exported."""

import subprocess
import sys
import threading

import numpy as np
import onnx
import pytest

from smalti.runtime import FileError, MissingRuntimeError, Session, native
from smalti.runtime.artifact import open_artifact
from smalti.runtime.engine import InputError
from smalti.runtime.onnx_engine import FallbackWarning


def resaved(path, folder, change):
    """A copy of a file after `change(model proto)`."""
    model = onnx.load(path)
    change(model)
    onnx.save(model, folder / "changed.onnx")
    return folder / "changed.onnx"


def manifest_entry(model):
    return next(p for p in model.metadata_props if p.key == "smalti")


def test_the_manifest_tells_every_layer_and_tensor(exported):
    artifact = open_artifact(exported()[0])
    manifest = artifact.manifest
    layers = {layer["name"]: layer for layer in manifest["layers"]}
    assert set(layers) == {"embed", "conv", "hidden", "head"}
    assert all(layer["format"] == "vq-2x64-g128" for layer in layers.values())
    assert all(0 < layer["error"] < 0.05 for layer in layers.values())
    assert layers["hidden"]["bits_per_weight"] == pytest.approx(3.125, rel=0.05)
    assert set(manifest["tensors"]) == set(artifact.tensors)
    assert manifest["min_library"] and manifest["min_engine"]
    assert artifact.native_nodes == 6


def test_intact_weights_are_recognized(exported):
    assert open_artifact(exported()[0]).damaged() == []


def address(buffer):
    return np.frombuffer(buffer, np.uint8).ctypes.data


def test_any_flipped_bit_of_any_weight_is_found(exported, tmp_path):
    path, _ = exported()
    data, artifact = bytearray(path.read_bytes()), open_artifact(path)
    generator = np.random.default_rng(0)
    changed = tmp_path / "m.onnx"
    for name, tensor in artifact.tensors.items():
        start = address(tensor.data) - address(tensor.data.obj)
        for _ in range(8):
            flipped = bytearray(data)
            bit = int(generator.integers(8 * len(tensor.data)))
            flipped[start + bit // 8] ^= 1 << bit % 8
            changed.write_bytes(flipped)
            assert open_artifact(changed).damaged() == [name]


def test_truncated_files_are_refused(exported, tmp_path):
    data = exported()[0].read_bytes()
    path = tmp_path / "m.onnx"
    for size in [0, 1, 7, 100, *np.linspace(200, len(data) - 1, 40).astype(int)]:
        path.write_bytes(data[:size])
        with pytest.raises(FileError, match=r"m\.onnx"):
            Session(path)


def test_arbitrary_damage_never_gets_further_than_an_error(exported, tmp_path):
    data, generator = exported()[0].read_bytes(), np.random.default_rng(1)
    path = tmp_path / "m.onnx"
    for _ in range(300):
        damaged = bytearray(data)
        for at in generator.integers(len(data), size=3):
            damaged[at] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            open_artifact(path).damaged()
        except FileError as error:
            assert "m.onnx" in str(error)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 64, b"no model at all", b"\x0a\xff\xff\xff\xff\x7f"]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(FileError, match=r"x\.onnx"):
        Session(tmp_path / "x.onnx")


def test_missing_files_are_refused(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        Session(tmp_path / "nothing.onnx")


def test_a_file_from_a_newer_smalti_is_refused(exported, tmp_path):
    def age(model):
        entry = manifest_entry(model)
        entry.value = entry.value.replace('"manifest":1', '"manifest":2')

    with pytest.raises(FileError, match="manifest version 2 .*upgrade"):
        Session(resaved(exported()[0], tmp_path, age))


def test_a_file_that_needs_a_newer_library_is_refused(exported, tmp_path):
    def age(model):
        entry = manifest_entry(model)
        entry.value = entry.value.replace('"min_library":"0.1.0"', '"min_library":"9.1.0"')

    with pytest.raises(MissingRuntimeError, match=r"9\.1\.0.*upgrade"):
        Session(resaved(exported()[0], tmp_path, age))


def test_external_data_elsewhere_is_refused(exported, tmp_path):
    def escape(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "../../etc/passwd"), ("offset", "0"), ("length", "16")):
            tensor.external_data.add(key=key, value=value)

    model = onnx.load(exported()[0])
    escape(model)
    (tmp_path / "changed.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="has to lie beside the model"):
        Session(tmp_path / "changed.onnx")


def test_packed_weights_are_checked_before_a_kernel_touches_them(exported, tmp_path, tokens):
    def damage(model):
        tensor = next(t for t in model.graph.initializer if t.name == "hidden.codes")
        tensor.raw_data = b"SMLT\x63" + tensor.raw_data[5:]

    session = Session(resaved(exported()[0], tmp_path, damage))
    with pytest.raises(Exception, match="VQMatMul.*layout version 99"):
        session.run(tokens.numpy())


def test_wrong_inputs_are_named(exported, tokens):
    session = Session(exported()[0])
    with pytest.raises(
        InputError, match=r"'tokens' is int32 \[5, 9\]; pass int64 \[batch, sequence\]"
    ):
        session.run(tokens.numpy().astype(np.int32))
    with pytest.raises(InputError, match=r"\[5\]; pass"):
        session.run(np.zeros(5, np.int64))
    with pytest.raises(InputError, match="inputs are tokens; got none"):
        session.run()
    with pytest.raises(InputError, match="got words"):
        session.run(words=tokens.numpy())
    with pytest.raises(InputError, match="positional"):
        session.run(tokens.numpy(), tokens.numpy())


def test_indices_outside_the_table_are_an_error(exported):
    with pytest.raises(Exception, match="VQGather: indices: 64 at position 1 is outside 0 .. 63"):
        Session(exported()[0]).run(np.array([[0, 64]]))


def test_without_a_library_a_session_refuses_or_warns(exported, tokens, monkeypatch):
    def absent():
        raise native.NativeError("no native library; reinstall smalti")

    monkeypatch.setattr(native, "library_path", absent)
    path, module = exported()
    with pytest.raises(MissingRuntimeError, match="no native library.*native='off'"):
        Session(path)
    with pytest.warns(FallbackWarning, match="slow fallback"):
        session = Session(path, native="prefer")
    expected = module(tokens).detach().numpy()
    np.testing.assert_allclose(session.run(tokens.numpy())[0], expected, atol=1e-5)


def test_a_file_without_fallback_says_that_it_needs_the_library(exported):
    with pytest.raises(MissingRuntimeError, match="without a fallback"):
        Session(exported(fallback="none")[0], native="off")


def test_an_unnoticed_fallback_is_an_error(exported, monkeypatch):
    """As when the engine loads a library that lacks the operators."""
    monkeypatch.setattr(native, "kernels_created", lambda: 7)
    with pytest.raises(MissingRuntimeError, match="0 of 6 smalti nodes got native kernels"):
        Session(exported()[0])


def test_sessions_share_the_process(exported, tokens):
    """Two files, many threads, one answer each."""
    paths = [exported(form=form, fallback="none")[0] for form in ("vq-1x16", "vq-2x64")]
    sessions = [Session(path, threads=2) for path in paths] + [Session(paths[0], threads=1)]
    expected = [s.run(tokens.numpy())[0].tobytes() for s in sessions]
    assert expected[0] == expected[2], "the number of threads changes no bit"
    wrong = []

    def work():
        for _ in range(200):
            for session, bits in zip(sessions, expected, strict=True):
                if session.run(tokens.numpy())[0].tobytes() != bits:
                    wrong.append(session)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_every_instruction_set_gives_the_same_bits(exported, tokens):
    for activations in ("float", "int8"):
        session = Session(exported(activations=activations, fallback="none")[0])
        answers = set()
        for isa in native.isas():
            with native.forced_isa(isa):
                answers.add(session.run(tokens.numpy())[0].tobytes())
        assert len(answers) == 1


def test_plain_onnx_files_run_too(tmp_path):
    import torch

    program = torch.onnx.export(torch.nn.Linear(4, 2), (torch.zeros(1, 4),), dynamo=True)
    program.save(tmp_path / "plain.onnx")
    session = Session(tmp_path / "plain.onnx")
    assert session.artifact.manifest == {}
    assert session.run(np.zeros((1, 4), np.float32))[0].shape == (1, 2)


IMPORTS = """
import sys
import smalti.runtime, smalti.runtime.bench, smalti.runtime.doctor
assert not {"torch", "onnx", "onnx_ir", "onnxruntime", "click", "rich"} & set(sys.modules)
"""


def test_the_device_side_imports_neither_torch_nor_onnx():
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)


def test_kernels_allocate_nothing_after_warm_up(exported, tokens):
    """A thread is warm when it has run the largest task, which on a busy machine may come late."""
    for activations in ("float", "int8"):
        session = Session(exported(activations=activations, fallback="none")[0], threads=2)

        def allocations(session=session):
            before = native.scratch_allocations()
            for _ in range(200):
                session.run(tokens.numpy())
            return native.scratch_allocations() - before

        assert any(allocations() == 0 for _ in range(10))


def test_registering_twice_is_the_engine_s_error_and_no_crash(exported):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    for _ in range(2):
        options.register_custom_ops_library(str(native.library_path()))
    with pytest.raises(Exception, match="already"):
        onnxruntime.InferenceSession(str(exported()[0]), options)
    Session(exported()[0])


def test_sessions_can_be_made_in_many_threads_at_once(exported, tokens):
    path, module = exported(fallback="none")
    expected, answers = module(tokens).detach().numpy(), []

    def work():
        for _ in range(5):
            answers.append(Session(path, threads=1).run(tokens.numpy())[0])

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(answers) == 40
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=1e-5)
