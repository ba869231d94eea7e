"""Wheels and archives of other machines, from a library of one function and a zig that is cc."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
from packed_project import NAME, VERSION, build, packages, project

TAG = "py3-none-manylinux_2_28_armv7l"
FINE = {"overall_tag": "manylinux_2_17_armv7l", "versioned_symbols": {"libc.so.6": ["GLIBC_2.4"]}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and an archive."""
    root = tmp_path_factory.mktemp("project")
    project(root)
    return build(root)


@pytest.fixture
def unpacked(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """The archive's folder, somewhere else than it was made for."""
    with tarfile.open(made[1]) as packed:
        packed.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    return folder


def test_the_wheel_names_its_machine(made: tuple[Path, Path]) -> None:
    assert made[0].name == f"smalti-{VERSION}-{TAG}.whl"
    with ZipFile(made[0]) as wheel:
        (path,) = (n for n in wheel.namelist() if n.endswith(".dist-info/WHEEL"))
        fields = wheel.read(path).decode().splitlines()
    assert f"Tag: {TAG}" in fields
    assert "Root-Is-Purelib: false" in fields


def test_the_wheel_records_what_it_holds(made: tuple[Path, Path]) -> None:
    with ZipFile(made[0]) as wheel:
        (record,) = (n for n in wheel.namelist() if n.endswith(".dist-info/RECORD"))
        lines = [line.rsplit(",", 2) for line in wheel.read(record).decode().splitlines()]
        assert sorted(path for path, _, _ in lines) == sorted(wheel.namelist())
        for path, digest, size in lines:
            if path != record:
                content = wheel.read(path)
                found = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
                assert digest == f"sha256={found.decode().rstrip('=')}"
                assert int(size) == len(content)


def test_the_wheel_holds_packages_and_one_library(made: tuple[Path, Path]) -> None:
    with ZipFile(made[0]) as wheel:
        names = [n for n in wheel.namelist() if ".dist-info/" not in n]
    folders = ("runtime", "devices", "quant", "export", "models")
    wanted = [*(f"smalti/{p}/__init__.py" for p in folders), "smalti/runtime/libsmalti.so"]
    assert sorted(names) == sorted(wanted)


def test_the_zig_target_reaches_cmake(made: tuple[Path, Path]) -> None:
    cache = made[0].parents[1] / "build" / "cross" / NAME / "CMakeCache.txt"
    assert "ZIG_TARGET:STRING=arm-linux-gnueabihf.2.28\n" in cache.read_text()


def test_the_archive_holds_what_a_c_program_needs(made: tuple[Path, Path], unpacked: Path) -> None:
    assert made[1].name == f"smalti-{VERSION}-{NAME}.tar.gz"
    assert unpacked.name == f"smalti-{VERSION}-{NAME}"
    assert {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()} == {
        "include/smalti.h",
        "lib/libsmalti.so",
        "lib/cmake/smalti/smalti-config.cmake",
        "lib/cmake/smalti/smalti-config-version.cmake",
        "lib/pkgconfig/smalti.pc",
        "share/licenses/smalti/LICENSE",
    }
    with ZipFile(made[0]) as wheel:
        library = wheel.read("smalti/runtime/libsmalti.so")
    assert library == (unpacked / "lib" / "libsmalti.so").read_bytes()


def test_pkg_config_finds_the_archive_where_it_is(unpacked: Path) -> None:
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is missing")
    env = os.environ | {"PKG_CONFIG_PATH": str(unpacked / "lib" / "pkgconfig")}

    def told(*what: str) -> list[str]:
        command = ["pkg-config", *what, "smalti"]
        return subprocess.run(
            command, env=env, check=True, capture_output=True, text=True
        ).stdout.split()

    assert told("--modversion") == [VERSION]
    include, folder, library = told("--cflags", "--libs")
    assert Path(include.removeprefix("-I")).resolve() == unpacked / "include"
    assert Path(folder.removeprefix("-L")).resolve() == unpacked / "lib"
    assert library == "-lsmalti"


PROGRAM = '#include "smalti.h"\n#include <stdio.h>\nint main(void) { puts(smalti_version()); }\n'
LISTS = """
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(smalti {version} REQUIRED)
add_executable(user user.c)
target_link_libraries(user smalti::smalti)
"""


def test_cmake_finds_the_archive_where_it_is(unpacked: Path, tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.mkdir()
    (user / "user.c").write_text(PROGRAM)
    (user / "CMakeLists.txt").write_text(LISTS.format(version=VERSION))
    env = os.environ | {"PATH": packages.search_path()}
    configure = [
        "cmake",
        "-S",
        user,
        "-B",
        user / "b",
        "-G",
        "Ninja",
        f"-DCMAKE_PREFIX_PATH={unpacked}",
    ]
    for command in (configure, ["cmake", "--build", user / "b"]):
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
    done = subprocess.run([user / "b" / "user"], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == VERSION


def test_the_same_sources_give_the_same_bytes(made: tuple[Path, Path], tmp_path: Path) -> None:
    project(tmp_path)
    stale = tmp_path / "build" / "cross" / f"smalti-{VERSION}-{NAME}" / "stale"
    stale.parent.mkdir(parents=True)
    stale.touch()
    for path in tmp_path.rglob("*"):
        os.utime(path, (10**9, 10**9))
    for first, second in zip(made, build(tmp_path), strict=True):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes(), first.name


def test_a_failing_compiler_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    project(tmp_path)
    (tmp_path / "runtime" / "hosts" / "c_api.cc").write_text("#error the reason\n")
    with pytest.raises(subprocess.CalledProcessError):
        build(tmp_path)
    assert "the reason" in "".join(capfd.readouterr())
    assert not list(tmp_path.glob("dist/*.whl"))


@pytest.mark.parametrize(
    ("report", "fault"),
    [
        (FINE, None),
        (FINE | {"overall_tag": "manylinux_2_28_armv7l"}, None),
        (FINE | {"overall_tag": "manylinux_2_29_armv7l"}, "its library says manylinux_2_29_armv7l"),
        (FINE | {"overall_tag": "manylinux_2_17_x86_64"}, "its library says manylinux_2_17_x86_64"),
        (FINE | {"overall_tag": "linux_armv7l"}, "its library says linux_armv7l"),
        ({"error": "no ELF"}, "its library says no ELF"),
        (
            FINE | {"versioned_symbols": {"libm.so.6": [], "libz.so.1": []}},
            "needs libm.so.6, libz.so.1",
        ),
        (FINE | {"versioned_symbols": {"libpthread.so.0": []}}, None),
    ],
)
def test_what_the_audit_says_is_judged(
    report: dict[str, object], fault: str | None, tmp_path: Path
) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(bytes(packages.MOST_BYTES - 1))
    found = packages.faults(NAME, wheel, report)
    assert len(found) == (fault is not None)
    assert all(str(fault) in text for text in found)


def test_a_large_wheel_is_a_fault(tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(bytes(packages.MOST_BYTES))
    assert packages.faults(NAME, wheel, FINE) == ["1000000 bytes are not under 1000000"]


def test_versions_are_ordered_by_number() -> None:
    assert packages.oldest_glibc("manylinux_2_9_x86_64") < packages.oldest_glibc(
        "manylinux_2_28_x86_64"
    )
    assert packages.highest(["GLIBC_2.9", "GLIBC_2.17", "GLIBC_2.3.4"]) == "GLIBC_2.17"
    assert packages.highest([]) == "none"


@pytest.mark.parametrize("name", packages.TARGETS)
def test_tag_and_target_ask_for_the_same_glibc(name: str) -> None:
    target = packages.TARGETS[name]
    cpu, glibc = target.zig.split("-")[0], target.zig.split(".", 1)[1]
    assert packages.oldest_glibc(target.platform) == tuple(map(int, glibc.split(".")))
    assert cpu[:3] in target.platform or (cpu, name) == ("aarch64", "arm64")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["packages.py", *arguments])
    return packages.main()


@pytest.mark.parametrize("arguments", [(), ("z80",), ("arm64", "armv7")])
def test_an_unknown_target_is_refused(arguments, monkeypatch, capsys) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert "{arm64,armv7,riscv64,x86-64}" in capsys.readouterr().err


def test_a_wheel_with_faults_is_removed(monkeypatch, capsys, tmp_path: Path) -> None:
    wheel = tmp_path / "a.whl"
    wheel.touch()
    monkeypatch.setattr(packages, "build_wheel", lambda name: wheel)
    monkeypatch.setattr(packages, "audit", lambda wheel: FINE | {"overall_tag": "linux_armv7l"})
    assert run(monkeypatch, NAME) == 1
    assert not wheel.exists()
    assert "a.whl is removed:\n  its tag says manylinux_2_28_armv7l" in capsys.readouterr().err


def test_what_was_made_is_told(made, monkeypatch, capsys) -> None:
    wheel, archive = made
    monkeypatch.setattr(packages, "ROOT", wheel.parents[1])
    monkeypatch.setattr(packages, "build_wheel", lambda name: wheel)
    monkeypatch.setattr(packages, "build_archive", lambda name, wheel: archive)
    monkeypatch.setattr(packages, "audit", lambda wheel: FINE)
    assert run(monkeypatch, NAME) == 0
    library, *files = capsys.readouterr().out.splitlines()
    assert library.startswith(f"libsmalti.so of {NAME}: ")
    assert library.endswith(" bytes, needs GLIBC_2.4")
    sizes = [f"dist/{path.name}: {path.stat().st_size} bytes" for path in made]
    assert files == sizes
