"""What all tests need: the native library, also where smalti runs from its sources."""

import os
from pathlib import Path

import debian
import pytest
import torch
from hypothesis import settings

from smalti.runtime import native

ROOT = Path(__file__).parents[1]

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of commands that tests start
settings.register_profile("smalti", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("smalti")

try:
    native.library_path()
except native.NativeError:
    built = ROOT / "build" / "dev" / "libsmalti.so"
    if built.exists():
        os.environ.setdefault("SMALTI_LIBRARY", str(built))


@pytest.fixture(scope="session")
def ort_headers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of onnxruntime_c_api.h."""
    root = debian.headers_of("libonnxruntime-dev", "trixie", tmp_path_factory.mktemp("apt"))
    return next(root.rglob("onnxruntime_c_api.h")).parent
