"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # a machine that does other things as well proves nothing
settings.load_profile("busy")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings, or a skip with the reason."""
    folder = Path(os.environ.get("COSMO_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real recordings not found in {folder}; set COSMO_DATA to their folder")
    return folder
