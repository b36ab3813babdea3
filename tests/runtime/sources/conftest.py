"""The scripted sensors that tests of live sources use."""

from __future__ import annotations

from typing import Dict, Iterator

import pytest

from cosmo_runtime.runtime.sources.live import LiveSource, connect_all
from tests.runtime.sources.scripted import Listener, Scripted


@pytest.fixture
def sensors() -> Dict[str, Scripted]:
    sensors = {"imu": Scripted("imu"), "radar": Scripted("radar")}
    assert connect_all(list(sensors.values())) == {}
    return sensors


@pytest.fixture
def listener(sensors: Dict[str, Scripted]) -> Iterator[Listener]:
    with LiveSource(list(sensors.values())) as source:
        listener = Listener(source)
        yield listener
    listener.join()
