"""What is measured of a large frame, on a small one."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from smalti.export import export_onnx
from smalti.models import bilateral, bilateral_frame


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    for name, value in {"STEPS": 20, "STRIDE": 16}.items():
        monkeypatch.setattr(bilateral, name, value)
    for name, value in {"HEIGHT": 400, "WIDTH": 300, "RUNS": 1}.items():
        monkeypatch.setattr(bilateral_frame, name, value)
    return tmp_path


def test_the_command_measures_a_file(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exported(folder: Path, image, say) -> list[Path]:
        export_onnx(bilateral.model(), (image,), folder / "m.onnx", fallback="none")
        return [folder / "m.onnx", folder / "m.onnx"]

    monkeypatch.setattr(bilateral_frame, "exported", exported)
    result = CliRunner().invoke(bilateral_frame.main, ["--out", str(small), "--json"])
    assert result.exit_code == 0, result.output
    first, second = json.loads(result.stdout)
    assert first["file"] == "m.onnx"
    assert first["file_kb"] == (small / "m.onnx").stat().st_size / 1e3
    assert set(first["ms"]) == {"1", "2"}
    assert first["psnr"] == second["psnr"] > 24
    assert first["delta_e"] == second["delta_e"] == 0
    # An image of 1.44 MB comes out; its coefficients would be 5.76 MB.
    assert 1.4 < first["memory_mb"] < 4


def test_differences_of_colours_are_those_one_sees() -> None:
    """The first pair of Sharma, Wu and Dalal 2005 is 2.04 apart; here: equal, and black and white."""
    black = np.zeros((1, 3, 8, 8), np.float32)
    assert bilateral_frame.delta_e(black, black) == 0
    assert bilateral_frame.delta_e(black, black + 1) == pytest.approx(100, abs=0.1)
