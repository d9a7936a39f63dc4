"""What every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _own_user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    """Keep the precision probe's file out of the user's own cache folder."""
    folder = tmp_path_factory.getbasetemp() / "xdg-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.delenv("ABAW_CACHE", raising=False)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden vectors; its README says how they were made."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with really filmed face crops, `cropped_aligned/<video>/00001.jpg`."""
    value = os.environ.get("ABAW_REAL_DATA")
    if not value or not (Path(value) / "cropped_aligned").is_dir():
        pytest.skip("ABAW_REAL_DATA names no folder that holds cropped_aligned/")
    return Path(value)
