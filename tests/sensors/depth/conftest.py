"""Emulated cameras."""

from __future__ import annotations

import time
from concurrent import futures
from typing import Any, Callable

import numpy as np
import pytest

from cosmo_runtime.sensors.sensor import Sensor
from cosmo_runtime.sensors.simulation.motion import Camera
from tests.realsense import librealsense

CAMERA = Camera(480, 270, 240.0, 241.0, 239.5, 134.5, 15.0, 0.001)


@pytest.fixture(scope="session")
def rs() -> Any:
    return librealsense()


@pytest.fixture
def emulated(rs: Any) -> Any:
    from cosmo_runtime.sensors.emulation.camera_device import EmulatedCamera

    return EmulatedCamera(CAMERA)


@pytest.fixture
def connect() -> Callable[..., None]:
    """Connects a driver while its camera shows blank frames, which are then taken away."""

    def connect_driver(driver: Sensor, camera: Any, clock: Callable[[], float] = time.monotonic) -> None:
        with futures.ThreadPoolExecutor(1) as pool:
            connected = pool.submit(driver.connect)
            while not connected.done():
                camera.push(np.zeros((CAMERA.height, CAMERA.width), np.uint16), clock())
                futures.wait([connected], timeout=0.01)
        connected.result()
        driver.read(0)

    return connect_driver
