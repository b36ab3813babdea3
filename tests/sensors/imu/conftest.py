"""The rig of emulated IMUs."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.sensors.imu.devices import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.stop.set()
    for thread in rig.threads:
        thread.join()
