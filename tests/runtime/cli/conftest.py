"""A small model of someone who sways, and a labelled session of that person; both need torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmo_runtime.models.bundle import Bundle, load_bundle
from tests.training.base import swaying_bundle


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    import torch

    torch.set_num_threads(1)
    return load_bundle(swaying_bundle(tmp_path_factory))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    from tests.training.sessions import record

    return record(tmp_path / "session.mcap")
