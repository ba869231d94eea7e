"""The recipe of several frames between two, at a tiny size, on clips that are made up."""

import numpy as np
import pytest
import torch
from engines import both_engines, torch_run
from matplotlib.figure import Figure
from torch.nn import functional

from smalti.export.verify import relative_error
from smalti.models import multi_frame, multi_frame_net


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    sizes = {"WIDTH": 8, "SIZE": (32, 40), "CROP": 32, "FASTEST": 1}
    training = {"STEPS": 12, "BATCH": 2, "SEEN": {"carphone": range(4)}}
    scored = {"SCORED": {"carphone": [6, 8]}}
    for name, value in (sizes | training | scored).items():
        monkeypatch.setattr(multi_frame, name, value)
    monkeypatch.setattr(multi_frame, "frames", moving)
    multi_frame.groups.cache_clear()
    yield tmp_path
    multi_frame.groups.cache_clear()


def moving(name, chosen, size):
    """Frames (count, 3, 36, 48) of waves that run to the right."""
    x, y = np.meshgrid(np.arange(48), np.arange(36))
    waves = [np.sin((x - i) / 6 + y / 7 + colour) for i in chosen for colour in range(3)]
    return (0.5 + 0.4 * np.array(waves, np.float32)).reshape(-1, 3, 36, 48)


def test_untrained_it_averages_by_the_time(tiny):
    torch.manual_seed(0)
    scores = multi_frame.evaluate(torch_run(multi_frame.MultiFrame(8).eval()))
    assert scores["psnr"] == pytest.approx(scores["psnr_average_carphone"], abs=0.1)
    assert scores["psnr"] == scores["psnr_carphone"]


def test_both_engines_find_what_torch_does(tiny):
    module, x = multi_frame.model(), multi_frame.example_inputs()
    arrays = [t.numpy() for t in x]
    (wanted,) = torch_run(module)(*arrays)
    assert wanted.shape == (3, 3, 32, 40)
    runs = {}
    for name, session in both_engines(module, x, tiny):
        runs[name] = session.run
        assert relative_error(session.run(*arrays)[0], wanted) < 1e-5
    assert isinstance(multi_frame.picture(runs), Figure)


def test_each_time_has_a_frame_of_its_own(tiny):
    module, (first, last, times) = multi_frame.model(), multi_frame.example_inputs()
    together = module(first, last, times)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], module(first, last, times[i : i + 1]))
    assert (together[0] - together[2]).abs().max() > 0.05


def test_lambda_layers_are_sums_over_all_pixels_and_over_near_ones():
    torch.manual_seed(0)
    layer = multi_frame_net.Lambdas(6).eval()
    x = torch.randn(2, 6, 4, 5)
    queries, values, keys = (part(x).double() for part in (layer.queries, layer.values, layer.keys))
    keys = keys.flatten(2).softmax(-1).reshape(keys.shape)
    wanted = x.double().clone()
    half = multi_frame_net.REACH // 2
    for y, x1 in np.ndindex(4, 5):
        for y2, x2 in np.ndindex(4, 5):
            place = layer.places[:, 0, y2 - y + half, x2 - x1 + half].double()
            weight = (queries[:, :, y, x1] * (keys[:, :, y2, x2] + place)).sum(1)
            wanted[:, :, y, x1] += weight[:, None] * values[:, :, y2, x2]
    torch.testing.assert_close(layer(x).double(), wanted, rtol=1e-4, atol=1e-5)


def test_training_sees_no_frame_that_is_scored():
    for clip, starts in multi_frame.SEEN.items():
        seen = {start + i for start in starts for i in range(5)}
        scored = {start + i for start in multi_frame.SCORED[clip] for i in range(5)}
        assert not seen & scored


def test_crops_keep_what_belongs_together(tiny):
    batches = list(multi_frame.Crops())
    assert len(batches) == multi_frame.STEPS
    for first, last, times, wanted in batches:
        assert first.shape == last.shape == wanted.shape == (2, 3, 32, 32)
        shift = functional.l1_loss(first, last)
        nearer = torch.where(times < 0.5, first, last)
        assert functional.l1_loss(nearer, wanted) < shift
