"""Finding tools and packages, and calling what they have built."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tool(*names):
    """The first of several programs that is installed."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip(f"{' or '.join(names)} is not installed")


def compiler():
    return tool("cc", "gcc", "clang")


def called(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)


def succeeded(*command):
    """What a command prints that has to work."""
    done = called(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def package_file(package, pattern):
    """A file that an installed Python package brings along."""
    spec = find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed")
    found = sorted(Path(spec.submodule_search_locations[0]).glob(pattern))
    return found[0] if found else pytest.skip(f"this {package} has no {pattern}")
