"""The recipe of a video in the weights of a net, at a tiny size, on a clip that is made up."""

import numpy as np
import pytest
import torch
from engines import both_engines, torch_run
from matplotlib.figure import Figure

from smalti.export.verify import relative_error
from smalti.models import nerv


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    sizes = {"FRAMES": 8, "SIZE": (32, 64), "WIDTHS": (16, 12, 8, 8, 8, 8), "HIDDEN": 16}
    for name, value in (sizes | {"EPOCHS": 40, "SHOWN": (2, 5)}).items():
        monkeypatch.setattr(nerv, name, value)
    monkeypatch.setattr(nerv, "frames", waves)
    nerv.clip.cache_clear()
    yield tmp_path
    nerv.clip.cache_clear()


def waves(name, chosen):
    """Frames (count, 3, 40, 72) of a wave that runs to the right and gets brighter."""
    x, y = np.meshgrid(np.arange(72), np.arange(40))
    found = [(0.3 + i / 20) * (1 + np.sin((x - 2 * i) / 9 + y / 7)) for i in chosen]
    return np.repeat(np.array(found, np.float32)[:, None] / 1.5, 3, 1)


def test_it_learns_the_clip_and_both_engines_play_it(tiny):
    still = nerv.evaluate(lambda time: [nerv.clip().mean(0, keepdims=True)])["psnr"]
    module = nerv.model()
    assert nerv.evaluate(torch_run(module))["psnr"] > still + 2
    (wanted,) = torch_run(module)(nerv.times().numpy())
    runs = {}
    for name, session in both_engines(module, nerv.example_inputs(), tiny):
        runs[name] = session.run
        found = np.concatenate([session.run(time.numpy())[0] for time in nerv.times().split(1)])
        assert relative_error(found, wanted) < 1e-5
    assert isinstance(nerv.picture(runs), Figure)


def test_a_skip_without_the_rest_is_bilinear():
    block = nerv.UpBlock(3, 3).eval()
    for part in (block.before.mix, block.after.mix, block.grow, block.skip):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)
    block.skip.weight.data[:, :, 0, 0] = torch.eye(3)
    x = torch.rand(1, 3, 4, 5)
    wanted = torch.nn.functional.interpolate(x, size=(8, 10), mode="bilinear")
    torch.testing.assert_close(block(x), torch.nn.functional.gelu(wanted))


def test_frames_are_scored_in_eight_bits(tiny):
    exact = dict(zip(nerv.times().flatten().tolist(), nerv.clip(), strict=True))
    scores = nerv.evaluate(lambda time: [exact[float(time[0, 0])][None]])
    assert 20 * np.log10(255 * 12**0.5) == pytest.approx(scores["psnr"], abs=0.5)
