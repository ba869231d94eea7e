"""Opens bytes as a file."""

import pytest

from smalti.runtime.artifact import open_artifact


@pytest.fixture
def opened(tmp_path):
    def open_bytes(data):
        path = tmp_path / "m.tflite"
        path.write_bytes(data)
        return open_artifact(path)

    return open_bytes
