import pytest

from smalti.quant.plan import Plan, PlanError
from smalti.runtime.format import Format, FormatError


def test_one_format_for_all_layers():
    plan = Plan.of("vq-2x64")
    assert plan.format_of("encoder.0.query") == Format(2, 64, 128)


def test_the_last_pattern_that_matches_decides():
    plan = Plan.of({"*": "vq-2x64", "head*": "vq-1x16-row", "head.bias*": "float"})
    assert str(plan.format_of("body")) == "vq-2x64-g128"
    assert str(plan.format_of("head")) == "vq-1x16-row"
    assert plan.format_of("head.bias_layer") is None


def test_a_layer_without_a_pattern_stays_in_float():
    assert Plan.of({"encoder.*": "vq-2x64"}).format_of("head") is None


def test_a_pattern_that_matches_nothing_is_a_typing_error():
    with pytest.raises(PlanError, match=r"no layer matches 'hed'; layers are head"):
        Plan.of({"hed": "vq-2x64"}).check(["head"])


def test_unknown_formats_are_named():
    with pytest.raises(FormatError, match="unknown format 'int4'"):
        Plan.of("int4")
