"""The comparison of recipes that keep a photo, with one kind of each sort at a tiny size."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from smalti.models import image_codec, image_grid, photo_field, siren


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setattr(photo_field, "SIZE", (48, 40))
    monkeypatch.setattr(photo_field, "BATCH", 512)
    monkeypatch.setattr(image_grid, "STEPS", 20)
    monkeypatch.setattr(image_grid, "_LEVELS", (4, 16))
    monkeypatch.setattr(siren, "STEPS", 5)
    monkeypatch.setattr(siren, "WIDTH", 64)
    for name, value in {"TUNING": 2, "SECONDS": 0.0, "QUALITIES": (10, 90)}.items():
        monkeypatch.setattr(image_codec, name, value)
    return tmp_path


def test_the_command_compares_all_files(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = [k for k in image_codec.kinds() if k.name in ("dense grid", "sine network")]
    chosen = [image_codec.Kind(k.name, k.model, (k.forms[0], k.forms[2])) for k in some]
    monkeypatch.setattr(image_codec, "kinds", lambda: chosen)
    result = CliRunner().invoke(image_codec.main, ["--out", str(tiny), "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    names = [(row["kind"], row["form"]) for row in rows]
    assert names[:2] == [("dense grid", "float"), ("dense grid", "vq-2x256")]
    assert [name for name, _ in names[2:]] == [*["sine network"] * 2, *["JPEG"] * 2, *["WebP"] * 2]
    for row in rows[:4]:
        file = tiny / "image-codec" / f"{row['kind'].replace(' ', '-')}-{row['form']}.onnx"
        assert row["bytes"] == file.stat().st_size > row["payload"]
        assert row["ms"] > 0
    for first, second in ((0, 1), (2, 3), (5, 4), (7, 6)):  # larger and better, then smaller
        assert rows[first]["payload"] > rows[second]["payload"]
    assert rows[5]["psnr"] > rows[4]["psnr"] + 3
    assert (tiny / "image-codec.png").read_bytes()[:4] == b"\x89PNG"


def test_a_grid_with_nothing_beside_it_is_stored_in_int8(tiny: Path) -> None:
    kind = next(k for k in image_codec.kinds() if k.name == f"{image_grid.ALONE[0]} grid")
    module = image_codec.stored(kind, "int8")
    assert not list(module.parameters())
    assert module(photo_field.example_inputs()[0]).shape == (48 * 40, 3)
