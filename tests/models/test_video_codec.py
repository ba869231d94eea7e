"""The comparison of a net's weights with H.264, on results that are made up."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner

from smalti.models import image_codec, nerv, video, video_codec
from smalti.models.pictures import psnr
from smalti.models.zoo import measure
from smalti.models.zoo.kept import Results, Score, file_of

needs_av = pytest.mark.skipif(find_spec("av") is None, reason=f"no x264: {video.INSTALL}")


def clip():
    """Four frames (4, 3, 32, 64) of a grey wave that runs to the right."""
    x, y = np.meshgrid(np.arange(64), np.arange(32))
    waves = [0.5 + 0.4 * np.sin((x - 2 * i) / 9 + y / 7) for i in range(4)]
    return np.repeat(np.array(waves, np.float32)[:, None], 3, 1)


@needs_av
def test_h264_keeps_more_in_more_bytes():
    files = [video_codec.h264(clip(), factor) for factor in (40, 10)]
    small, large = (psnr(video_codec.decoded(file), clip()) for file in files)
    assert len(files[0]) < len(files[1])
    assert small + 5 < large
    assert video_codec.decoded(files[0]).shape == (4, 3, 32, 64)


@needs_av
def test_the_command_compares_both(tmp_path, monkeypatch):
    scores = {form: {"onnx": Score({"psnr": db})} for form, db in (("float", 30), ("4 bit", 29))}
    results = Results(scores=scores, times={"onnx": {"float": 4.0, "4 bit": 2.0}})
    monkeypatch.setattr(measure, "measure", lambda *_: results)
    monkeypatch.setattr(nerv, "clip", clip)
    monkeypatch.setattr(image_codec, "payload", lambda path: 1024 if "4" in path.name else 8192)
    (tmp_path / "nerv").mkdir()
    for form in scores:
        file_of(tmp_path / "nerv", form, "onnx").write_bytes(bytes(10_000))
    options = ["--out", tmp_path, "--output", tmp_path / "codec.png", "--json"]
    result = CliRunner().invoke(video_codec.main, list(map(str, options)))
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert [row["bits"] for row in rows[:2]] == [8.0, 1.0]
    assert [row["onnx_fps"] for row in rows[:2]] == [250.0, 500.0]
    assert rows[0]["tflite_fps"] is None
    assert [row["codec"] for row in rows[2:]] == ["H.264"] * len(video_codec.FACTORS)
    assert [row["bits"] for row in rows[2:]] == sorted(row["bits"] for row in rows[2:])
    assert (tmp_path / "codec.png").read_bytes()[:4] == b"\x89PNG"
