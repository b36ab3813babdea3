from __future__ import annotations

import pytest

from cosmo_runtime.runtime.labels.table import read_labels
from tests.training.sessions import record


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """A session of four activities, three examples each."""
    return read_labels(record(tmp_path_factory.mktemp("session") / "monday.mcap"))
