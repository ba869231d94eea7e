import pytest

from smalti.runtime.format import GRIDS, GROUPS, Format, FormatError

ALL = [Format(p, n, group) for p, n in GRIDS for group in GROUPS]


@pytest.mark.parametrize("form", ALL, ids=str)
def test_names_read_back(form: Format) -> None:
    assert Format.parse(str(form)) == form
    assert str(form).startswith(form.grid_name)
    assert form.n == 2**form.code_bits


def test_short_names_have_a_group_of_128() -> None:
    assert Format.parse("vq-2x64") == Format(2, 64, 128)
    assert Format.parse("vq-4x256-row").group is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("int4", "unknown format 'int4'; names look like"),
        ("", "unknown format"),
        ("vq-2x64-g", "unknown format"),
        ("VQ-2x64", "unknown format"),
        ("vq-2x64-g128 ", "unknown format"),
        ("vq-3x64", "no grid of 64 entries of 3 values; smalti has vq-1x16, vq-2x16"),
        ("vq-2x64-g100", "no scale group of 100; use g64, g128, g256 or row"),
        ("vq-2x64-g0", "no scale group of 0"),
    ],
)
def test_refusals(name: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Format.parse(name)


@pytest.mark.parametrize(
    ("name", "columns", "bits"),
    [
        ("vq-1x16-g128", 1024, 4.125),
        ("vq-2x16-row", 1024, 2 + 16 / 1024),
        ("vq-2x64-g128", 384, 3.125),
        ("vq-2x256-g64", 64, 4.25),
        ("vq-4x256-g256", 300, 2 + 32 / 300),
    ],
)
def test_bits_per_weight(name: str, columns: int, bits: float) -> None:
    assert Format.parse(name).bits_per_weight(columns) == pytest.approx(bits)
