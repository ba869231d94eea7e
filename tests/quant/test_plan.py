import re
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smalti.quant.budget import Choice
from smalti.quant.plan import FLOAT, Plan, PlanError, PlanFacts
from smalti.runtime.format import BLOCK_FORMATS, BlockFormat, Format, FormatError

FACTS = PlanFacts(
    smalti="0.1.0",
    recipe='models/"mine".py',
    budget="9400000 bytes",
    bytes=9_398_764,
    drop=1e-05,
    metric="KL divergence",
    gap=0.002,
    linear=True,
    rounding="nearest",
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "plan.toml"


def refusal(file, text):
    """What reading such a file says."""
    file.write_text(text)
    with pytest.raises(PlanError) as caught:
        Plan.read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_one_format_for_all_layers():
    plan = Plan.of("vq-2x64")
    assert plan.format_of("encoder.0.query") == Format(2, 64, 128)


def test_the_last_pattern_that_matches_decides():
    plan = Plan.of({"*": "vq-2x64", "head*": "vq-1x16-row", "head.bias*": "float"})
    assert str(plan.format_of("body")) == "vq-2x64-g128"
    assert str(plan.format_of("head")) == "vq-1x16-row"
    assert plan.format_of("head.bias_layer") is None


def test_formats_of_every_kind_are_read():
    assert Plan.of("int4-g32").format_of("head") == BlockFormat("int4", 32)


def test_a_layer_without_a_pattern_stays_in_float():
    assert Plan.of({"encoder.*": "vq-2x64"}).format_of("head") is None


def test_a_name_matches_its_layer_whatever_it_holds():
    plan = Plan.of({"blocks[0]": "vq-2x64"})
    plan.check(["blocks[0]"])
    assert plan.format_of("blocks[0]") == Format(2, 64)


def test_a_pattern_that_matches_nothing_is_a_typing_error():
    with pytest.raises(PlanError, match=r"no layer matches 'hed'; layers are head"):
        Plan.of({"hed": "vq-2x64"}).check(["head"])


def test_unknown_formats_are_named():
    with pytest.raises(FormatError, match="unknown format 'int5'"):
        Plan.of("int5")


def test_a_written_file_is_for_people(file):
    plan = Plan.of({"*": "vq-2x64", "encoder.0": "int8", "head": "float"})
    predicted = {"encoder.0": Choice("int8", 73_728, 0.0019531), "head": Choice("float", 4_000, 0)}
    plan.write(file, FACTS, predicted)
    assert file.read_text() == (
        """\
[plan]
smalti = "0.1.0"
recipe = "models/\\"mine\\".py"
budget = "9400000 bytes"
bytes = 9398764
drop = 1e-05
metric = "KL divergence"
gap = 0.002
linear = true
rounding = "nearest"

[layers]  # name or glob = format; the last line that matches decides
"*"         = "vq-2x64-g128"
"encoder.0" = "int8-g128"  # 73,728 bytes, drop 0.00195
"head"      = "float"  # 4,000 bytes, drop 0
"""
    )
    assert Plan.read(file) == plan


def test_facts_that_are_not_known_are_left_out(file):
    Plan.of({}).write(file, PlanFacts(drop=float("inf"), linear=False))
    tables = tomllib.loads(file.read_text())
    assert tables == {"plan": {"drop": float("inf"), "linear": False}, "layers": {}}
    assert Plan.read(file).patterns == ()


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
forms = st.sampled_from([FLOAT, "vq-2x64-g128", "vq-4x256-row", *map(str, BLOCK_FORMATS)])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(patterns=st.dictionaries(names, forms, max_size=8), recipe=names)
def test_files_keep_patterns_formats_and_their_order(patterns, recipe, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "plan.toml"
    plan = Plan.of(patterns)
    predicted = {pattern: Choice(form, 1, 0.5) for pattern, form in patterns.items()}
    plan.write(file, PlanFacts(recipe=recipe), predicted)
    assert Plan.read(file).patterns == plan.patterns
    assert tomllib.loads(file.read_text())["plan"] == {"recipe": recipe}
    for pattern in patterns:
        assert Plan.read(file).format_of(pattern) == plan.format_of(pattern)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    plan = Plan.of("vq-2x64")
    plan.write(file, FACTS)
    before = file.read_text()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        Plan.of("vq-1x16").write(file, FACTS)
    assert file.read_text() == before
    assert list(file.parent.iterdir()) == [file]


def test_writing_makes_the_folder(tmp_path):
    Plan.of("vq-2x64").write(tmp_path / "a" / "b" / "plan.toml", FACTS)
    assert Plan.read(str(tmp_path / "a" / "b" / "plan.toml")) == Plan.of("vq-2x64")


def test_a_person_may_write_only_layers_and_comments(file):
    file.write_text('# mine\n[layers]\n"*" = "vq-2x64" # short\nhead = "float"\n')
    assert Plan.read(file) == Plan.of({"*": "vq-2x64", "head": "float"})


def test_a_line_that_matches_nothing_names_the_file(file):
    file.write_text('[layers]\n"*" = "vq-2x64"\n"hed" = "int4"\n')
    with pytest.raises(PlanError) as caught:
        Plan.read(file).check(["head", "body"])
    assert str(caught.value) == (
        f'{file}: [layers] "hed" = "int4-g128": no layer matches \'hed\'; '
        "layers are head, body; correct the name or delete the line"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[layers]\n"*" = vq-2x64\n', r"no TOML: .*line 2.*; correct that line"),
        ('[layers]\n"a" = "float"\n"a" = "float"\n', r"no TOML: .*line 3"),
        ("[" * 100_000, r"no TOML: "),
        ("", r'no \[layers\]; add it, with lines such as "\*" = "vq-2x64-g128"'),
        ('layers = "vq-2x64"\n', r"no \[layers\]; add it"),
        ('[layer]\n"*" = "float"\n', r"unknown 'layer'; a plan has \[plan\], \[layers\]"),
        (
            '[layers]\n[operators]\nGridSample = "ours"\n',
            r"\[operators\] GridSample = 'ours': pass \"smalti\" or \"engine\"",
        ),
        ("operators = 3\n[layers]\n", r"operators is no table; write \[operators\]"),
        ('[layers]\n"head" = "vq-9x9"\n', r'\[layers\] "head" = "vq-9x9": .*smalti has vq-'),
        ('[layers]\n"head" = "int5"\n', r'\[layers\] "head" = "int5": .* or "float"'),
        ('[layers]\n"head" = 4\n', r'\[layers\] "head" = 4: a format is a text'),
        ('[layers]\nencoder.0.query = "float"\n', r'\[layers\] "encoder": put quotes around'),
    ],
)
def test_files_that_make_no_sense_are_refused(file, text, message):
    assert re.search(message, refusal(file, text), re.DOTALL)


def test_files_that_are_missing_or_binary_are_refused(file):
    with pytest.raises(PlanError, match=f"{file}: No such file or directory; name a plan file"):
        Plan.read(file)
    with pytest.raises(PlanError, match=f"{file.parent}: Is a directory"):
        Plan.read(file.parent)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match=f"{file}: no TOML: 'utf-8' codec"):
        Plan.read(file)


def test_operators_of_ours_are_read(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('[layers]\n[operators]\nGridSample = "smalti"\nResize = "engine"\n')
    assert Plan.read(path).native == ("GridSample",)
