"""The emulated radar that tests of the driver use."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from tests.sensors.radar.radar_rig import Rig


@pytest.fixture()
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()
