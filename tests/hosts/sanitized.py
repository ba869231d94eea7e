"""Our code compiled with one of gcc's sanitizers, and the environment that such code runs in."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[2] / "runtime"
FLAGS = ["-std=c++17", "-O0", "-g1", "-fPIC", "-fno-omit-frame-pointer", '-DSMALTI_VERSION="asan"']
FLAGS += ["-fno-exceptions", "-fno-rtti", "-ffp-contract=off", f"-I{RUNTIME}"]
# One level, for this CPU, stands for all.
LEVEL = ["-march=native", "-DSMALTI_LEVEL=portable"]
ONE_LEVEL = ["-Davx2=portable", "-Davxvnni=portable", "-Davx512=portable"]


def sanitizer_or_skip(name: str) -> Path:
    """The sanitizer's own library, `asan` or `tsan`."""
    if not shutil.which("g++"):
        pytest.skip("g++ is missing: apt install g++")
    command = ["g++", f"-print-file-name=lib{name}.so"]
    path = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    if not path.is_absolute():
        pytest.skip(f"lib{name} is missing: install the one of your gcc")
    return path


def build_library(folder: Path, sanitize: str) -> Path:
    """libsmalti.so with `-fsanitize=<sanitize>`."""
    kernels = [RUNTIME / "core" / "table.cc", *RUNTIME.glob("ops/*/kernel.cc")]
    others = [RUNTIME / "core" / f"{name}.cc" for name in ("levels", "memory", "signs")]
    others += [RUNTIME / "hosts" / f"{name}.cc" for name in ("c_api", "pool", "tflite")]
    jobs = [(source, LEVEL) for source in kernels] + [(source, ONE_LEVEL) for source in others]

    def compile_it(i: int) -> str:
        source, flags = jobs[i]
        target = str(folder / f"{i}.o")
        include = f"-I{RUNTIME / 'include'}"
        command = ["g++", *FLAGS, *flags, include, f"-fsanitize={sanitize}", "-c", str(source)]
        done = subprocess.run([*command, "-o", target], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_it, range(len(jobs))))
    library = folder / "libsmalti.so"
    link = ["g++", "-shared", f"-fsanitize={sanitize}", "-Wl,-z,nodelete", *objects]
    subprocess.run([*link, "-o", str(library)], check=True)
    return library


def environment(sanitizer: Path, **options: str) -> dict[str, str]:
    """For a Python that loads such a library; libstdc++ has to be there when the first one looks."""
    command = ["g++", "-print-file-name=libstdc++.so.6"]
    standard = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return os.environ | {"LD_PRELOAD": f"{sanitizer} {standard}"} | options
