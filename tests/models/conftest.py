"""What tests of several recipes need."""

from pathlib import Path

import pytest
from series_data import store_etth1, waves

from smalti.models import series


@pytest.fixture
def made_up_etth1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data and cache in a folder of their own: 1800 hours, of which 1200 are for training."""
    monkeypatch.setenv("SMALTI_CACHE", str(tmp_path))
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    monkeypatch.setattr(series, "ETT_SPLIT", (1200, 1400, 1800))
    store_etth1(waves(1800, 7), tmp_path)
    return tmp_path
