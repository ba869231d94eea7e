import subprocess
import sys

import pytest

from smalti.runtime.format import (
    BLOCK_FORMATS,
    GRIDS,
    GROUPS,
    AnyFormat,
    Format,
    FormatError,
    parse_format,
)

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


@pytest.mark.parametrize("form", [*ALL, *BLOCK_FORMATS], ids=str)
def test_any_name_reads_back(form: AnyFormat) -> None:
    assert parse_format(str(form)) == form


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("int4", "int4-g128"),
        ("int8-g32", "int8-g32"),
        ("nf4", "nf4-g64"),
        ("mxfp4-g32", "mxfp4"),
        ("nvfp4", "nvfp4"),
        ("vq-2x64", "vq-2x64-g128"),
    ],
)
def test_short_names_of_any_format(name: str, canonical: str) -> None:
    assert str(parse_format(name)) == canonical


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("int3", "unknown format 'int3'; smalti has vq-1x16, .*int4-g32, .*nvfp4"),
        ("", "unknown format ''"),
        ("float", "unknown format 'float'"),
        ("int4-g16", "int4 has no group of 16; use g128 or g64 or g32"),
        ("int4-row", "unknown format 'int4-row'"),
        ("mxfp4-g64", "mxfp4 has no group of 64; use g32"),
        ("INT4", "unknown format"),
        ("int4-g32\n", "unknown format"),
    ],
)
def test_refusals_of_any_format(name: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_format(name)


@pytest.mark.parametrize(
    ("name", "columns", "bits"),
    [
        ("int4-g128", 1024, 4 + 32 / 128 + 4 / 128),
        ("int4-g32", 32, 4 + 32 / 32 + 8 / 32),  # a lone zero point takes a whole byte
        ("int8-g64", 640, 8 + 32 / 64 + 8 / 64),
        ("int2-g128", 512, 2 + 32 / 128 + 2 / 128),
        ("nf4", 640, 4 + 32 / 64),
        ("mxfp4", 96, 4.25),
        ("nvfp4", 160, 4.5),
        ("mxfp4", 20, 32 * 4.25 / 20),
    ],
)
def test_bits_per_weight_of_blocks(name: str, columns: int, bits: float) -> None:
    form = parse_format(name)
    assert form.bits_per_weight(columns) == pytest.approx(bits)
    assert 8 * form.packed_bytes(7, columns) == pytest.approx(7 * columns * bits)


def test_formats_without_torch_or_numpy() -> None:
    code = (
        "import sys; from smalti.runtime import format; "
        "assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_branch_is_part_of_a_name():
    form = parse_format("vq-2x64+r8")
    assert str(form) == "vq-2x64-g128+r8"
    assert parse_format(str(form)) == form
    assert str(parse_format("int4+r2")) == "int4-g128+r2"
    for name in ("vq-2x64+r", "vq-2x64+r0", "vq-2x64+rx", "vq-2x64+r-1"):
        with pytest.raises(FormatError, match=r"\+r"):
            parse_format(name)
