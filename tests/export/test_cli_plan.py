"""`smalti plan` and what `smalti export` makes of it."""

import json
import tomllib

import pytest
from test_cli import smalti

CALIBRATION = """
loss = "logits"

def calibration():
    torch.manual_seed(1)
    for _ in range(3):
        yield (torch.randint(64, (16, 6)),)
"""


@pytest.fixture(scope="module")
def calibrated(recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "calibrated.py"
    path.write_text(recipe.read_text() + CALIBRATION)
    return path


@pytest.fixture(scope="module")
def planned(calibrated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned")
    facts = json.loads(
        smalti("plan", calibrated, "--bits", "3.5", "-o", folder / "plan.toml",
               "--resume", folder / "kept", "--jobs", 1, "--json")
    )  # fmt: skip
    return folder, facts


def test_a_plan_says_what_it_predicts_and_measures(planned):
    folder, facts = planned
    assert {layer["layer"] for layer in facts["layers"]} == {"embed", "conv", "hidden", "head"}
    assert facts["metric"] == "KL divergence"
    assert facts["rounding"] == "yaqa"
    assert facts["drop"] > 0
    assert facts["measured"] > 0
    stored = tomllib.loads((folder / "plan.toml").read_text())
    assert stored["layers"] == {x["layer"]: x["format"] for x in facts["layers"]}
    assert stored["plan"]["measured"] == facts["measured"]


def test_export_follows_a_plan_that_a_person_has_edited(planned, calibrated):
    folder, _ = planned
    text = (folder / "plan.toml").read_text()
    edited = folder / "edited.toml"
    head = next(line for line in text.splitlines() if line.startswith('"head"'))
    edited.write_text(text.replace(head, '"head" = "vq-1x16-row"'))
    done = json.loads(
        smalti("export", calibrated, "--plan", edited, "-o", folder / "q.onnx",
               "--resume", folder / "kept", "--jobs", 1, "--json")
    )  # fmt: skip
    formats = {layer["name"]: layer["format"] for layer in done["layers"]}
    assert formats["head"] == "vq-1x16-row"
    assert all(layer["drop"] >= 0 for layer in done["layers"])
    assert "row" in smalti("inspect", folder / "q.onnx")


def test_refinement_needs_data(calibrated, tmp_path):
    smalti("export", calibrated, "--format", "vq-4x256", "--refine", "-o", tmp_path / "q.onnx",
           "--jobs", 1)  # fmt: skip
    assert "data" in smalti(
        "export", calibrated, "--format", "vq-4x256", "--refine", "--data", "none",
        "-o", tmp_path / "n.onnx", code=2,
    )  # fmt: skip
    assert not (tmp_path / "n.onnx").exists()


def test_a_dry_run_prints_and_writes_nothing(recipe, tmp_path):
    shown = smalti("plan", recipe, "--max-size", "100kB", "--dry-run", "--format", "vq-2x64")
    assert "predicted" in shown
    assert "stay in float" in shown
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dry-run"], "one of --max-size"),
        (["--bits", "3", "--max-drop", "1", "--dry-run"], "one of --max-size"),
        (["--bits", "3"], "-o FILE or --dry-run"),
        (["--max-size", "6 parsecs", "--dry-run"], "is no size"),
        (["--max-size", "1kB", "--dry-run"], "stay in float"),
        (["--bits", "3", "--data", "recipe", "--dry-run"], "calibration()"),
        (["--bits", "3", "--format", "vq-3x9", "--dry-run"], "smalti has"),
    ],
)
def test_what_cannot_be_planned_is_a_usage_error(recipe, arguments, message):
    assert message in smalti("plan", recipe, *arguments, code=2)


def test_export_takes_formats_or_a_plan(recipe, tmp_path):
    out = tmp_path / "q.onnx"
    assert "either --format or --plan" in smalti("export", recipe, "-o", out, code=2)
    missing = smalti("export", recipe, "--plan", tmp_path / "no.toml", "-o", out, code=2)
    assert "no.toml" in missing


def test_an_unknown_loss_is_refused(recipe, tmp_path):
    path = tmp_path / "odd.py"
    path.write_text(recipe.read_text() + "\nloss = 'hinge'\n")
    message = smalti("plan", path, "--bits", "3", "--dry-run", code=2)
    assert "loss = 'hinge'" in message
