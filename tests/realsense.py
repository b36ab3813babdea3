"""librealsense for tests, which are skipped with the reason where it cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from cosmo_runtime.sensors.depth.librealsense import load
from cosmo_runtime.sensors.sensor import SensorError


def librealsense() -> Any:
    """The module ``pyrealsense2``, loaded as the driver loads it: its wheel lacks libusb."""
    try:
        return load()
    except SensorError as error:
        pytest.skip(str(error), allow_module_level=True)
