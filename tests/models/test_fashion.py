import gzip
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from smalti.models import fashion
from smalti.models.batches import Shuffled
from smalti.quant import quantize_

try:
    fashion.data_folder()
    MISSING = ""
except FileNotFoundError as missing:
    MISSING = str(missing)
needs_data = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def write_idx(path, array):
    head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Data of ten classes that anyone can learn: a bright row of its own each."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for part, count in (("train", 640), ("t10k", 20)):
        labels = np.arange(count) % 10
        images = np.zeros((count, 28, 28))
        images[np.arange(count), 2 * labels + 4] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "nowhere")
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path / "cache"))
    return tmp_path


def runner(module):
    def run(*arrays):
        with torch.inference_mode():
            return [module(*map(torch.from_numpy, arrays)).numpy()]

    return run


def test_missing_data_name_the_mend(monkeypatch, tmp_path):
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path)
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        fashion.data_folder()


def test_it_trains_once_and_keeps_the_weights(tiny, monkeypatch):
    monkeypatch.setattr(fashion, "EPOCHS", 2)
    first = fashion.model()
    assert not first.training
    assert [p.name for p in (tiny / "cache").iterdir()] == ["fashion.safetensors"]
    monkeypatch.setattr(fashion, "fine_tune", None)  # a second training would fail
    again = fashion.model()
    (x,) = fashion.example_inputs()
    assert torch.allclose(first(x), again(x), atol=1e-5)


def test_data_have_the_shapes_the_net_wants(tiny):
    images, labels = fashion.load("train")
    assert images.shape == (640, 1, 28, 28)
    assert (images.dtype, labels.dtype) == (np.float32, np.int64)
    assert (images.min(), images.max()) == (0, 1)
    (x,) = fashion.example_inputs()
    assert fashion.network().eval()(x).shape == (2, 10)
    batches = list(fashion.calibration())
    assert [len(b) for b in batches] == [1] * 4
    assert sum(len(b[0]) for b in batches) == 512


def test_images_are_mirrored_at_random():
    torch.manual_seed(0)
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 10, 5] = 1
    images, numbers = image.expand(300, 1, 28, 28), torch.arange(300)
    data = Shuffled(images, numbers, batch=100, change=fashion.mirrored)
    places = set()
    for batch, labels in data:
        assert (batch.shape, labels.shape) == ((100, 1, 28, 28), (100,))
        assert batch.sum((1, 2, 3)).eq(1).all()
        places |= {tuple(found) for found in batch.nonzero()[:, 2:].tolist()}
    assert places == {(10, 5), (10, 22)}


def test_accuracy_counts_right_answers(tiny):
    labels = fashion.load("t10k")[1]
    right = np.eye(10, dtype=np.float32)[labels]
    half = right.copy()
    half[::2] = -right[::2]
    assert fashion.evaluate(lambda x: [right], len(labels)) == {"accuracy": 1.0}
    assert fashion.evaluate(lambda x: [half], len(labels)) == {"accuracy": 0.5}


def test_most_weights_are_quantized_and_widths_are_of_all_kinds():
    module = fashion.network()
    count = sum(p.numel() for p in module.parameters())
    assert 0.3e6 < count < 0.6e6
    reports = quantize_(module, "vq-2x16-row")
    packed = [r for r in reports if r.format != "float"]
    assert sum(np.prod(r.shape) for r in packed) > 0.95 * count
    widths = {r.shape[1] for r in packed}
    assert {48, 96, 160, 256, 480, 240} <= widths
    assert all("groups" in r.reason for r in reports if r.format == "float")


def test_weights_of_another_net_are_refused(tiny):
    (tiny / "cache").mkdir()
    save_file(nn.Linear(2, 2).state_dict(), tiny / "cache" / fashion.CACHE)
    with pytest.raises(RuntimeError, match="Missing key"):
        fashion.model()


@needs_data
def test_the_real_data_are_whole():
    images, labels = fashion.load("t10k")
    assert images.shape == (10000, 1, 28, 28)
    assert np.bincount(labels).tolist() == [1000] * 10
    assert float(images.mean()) == pytest.approx(0.2868, abs=1e-3)
