"""A project that packs like the repository, of nearly no code, by a zig that is the host's cc."""

import os
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "devices" / "toolchain"))
import packages  # noqa: E402

ZIG = """
import os, sys
tool, *rest = sys.argv[1:]
os.execvp(tool, [tool, *rest])
"""
SOURCES = ("core/levels", "core/memory", "core/signs", "core/table", "ops/one/kernel")
SOURCES += ("hosts/c_api", "hosts/litert", "hosts/onnxruntime", "hosts/pool", "hosts/tflite")
SOURCE = '#include "smalti.h"\nextern "C" const char *smalti_version() { return SMALTI_VERSION; }\n'
NAME = "armv7"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def project(root: Path) -> None:
    """All of the repository that is packed, but for nearly all of its code."""
    for name in ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "devices" / "toolchain", root / "devices" / "toolchain")
    shutil.copytree(ROOT / "runtime" / "include", root / "runtime" / "include")
    for name in ("runtime", "devices", "quant", "export", "models"):
        (root / name).mkdir(exist_ok=True)
        (root / name / "__init__.py").touch()
    for name in SOURCES:
        path = root / "runtime" / f"{name}.cc"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SOURCE if path.stem == "c_api" else "")


def _with_tools(patch: pytest.MonkeyPatch, root: Path) -> None:
    """Let the scripts pack what lies in root, by cc."""
    (root / "ziglang").mkdir()
    (root / "ziglang" / "__main__.py").write_text(ZIG)
    path = f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    patch.setenv("PYTHONPATH", path)
    patch.setenv("CC", "no-such-compiler")  # the toolchain file's is taken
    patch.setattr(packages, "ROOT", root)


def build(root: Path) -> tuple[Path, Path]:
    """Write such a project and pack it: a wheel and an archive. Skips the test for want of tools."""
    pytest.importorskip("scikit_build_core", reason="pip install scikit-build-core cmake ninja")
    for tool in ("cc", "c++", "cmake", "ninja"):
        if not shutil.which(tool, path=packages.search_path()):
            pytest.skip(f"{tool} is missing")
    with pytest.MonkeyPatch.context() as patch:
        _with_tools(patch, root)
        wheel = packages.build_wheel(NAME)
        return wheel, packages.build_archive(NAME, f"smalti-{VERSION}-{NAME}")
