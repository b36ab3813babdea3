"""A motion as events without waiting for it: what training windows of emulated rigs are cut from.

Frames pass librealsense's software device and the depth driver, whose filters shape what a model sees. IMU and radar
samples skip the wire, whose quantisation lies below their noise. Stamps are the motion's own time.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Iterator

import numpy as np

from sensors.config import DepthConfig
from sensors.depth.driver import DepthCamera
from sensors.emulation.camera_device import EmulatedCamera
from sensors.emulation.motion import Motion
from sensors.events import Event, Sample, Truth
from sensors.sensor import SensorError

_FRAME_TIMEOUT_S = 5.0


def events(motion: Motion, until_s: float, config: DepthConfig) -> Iterator[Event]:
    """Yields what a rig in front of the motion would bring from its start to ``until_s``, in order of time.

    Args:
        motion: what moves.
        until_s: how much of it, in seconds.
        config: of the depth driver: decimation and range gate.

    Raises:
        SensorError: librealsense is missing, or its software device does not work.
    """
    until_s = min(until_s, motion.duration_s)
    truths = [(start.start_s, "truth", start.activity) for start in motion.activities(until_s)]
    rates_hz = {"imu": motion.imu_rate_hz, "depth": motion.camera.rate_hz, "radar": motion.radar_rate_hz}
    due = [(k / rate, name, "") for name, rate in rates_hz.items() for k in range(int(until_s * rate) + 1)]
    imu_times = np.arange(int(until_s * motion.imu_rate_hz) + 1) / motion.imu_rate_hz
    imu = iter(motion.imu(imu_times).astype(np.float32))
    camera = EmulatedCamera(motion.camera)
    driver = DepthCamera(config, camera)
    try:
        _connect(driver, camera, motion)
        for time_s, name, activity in sorted(truths + due, key=lambda item: (item[0], item[1] != "truth", item[1])):
            stamp_ns = round(time_s * 1e9)
            if name == "truth":
                yield Truth(stamp_ns, activity)
            elif name == "imu":
                yield Sample("imu", stamp_ns, stamp_ns, next(imu))
            elif name == "radar":
                yield Sample("radar", stamp_ns, stamp_ns, motion.radar(time_s))
            else:
                camera.push(motion.depth(time_s), time_s)
                frames = driver.read(_FRAME_TIMEOUT_S)
                if not frames:
                    raise SensorError(f"the emulated camera gave no frame within {_FRAME_TIMEOUT_S:.0f} s")
                yield dataclasses.replace(frames[0], stamp_ns=stamp_ns, arrival_ns=stamp_ns)
    finally:
        driver.disconnect()


def _connect(driver: DepthCamera, camera: EmulatedCamera, motion: Motion) -> None:
    """Connects; a driver is connected when it has seen a frame, so one is shown to it until then."""
    frame = motion.depth(0.0)
    with ThreadPoolExecutor(1) as thread:
        connecting = thread.submit(driver.connect)
        while not wait([connecting], 0.02).done:
            camera.push(frame, 0.0)
    connecting.result()
    while driver.read(0.05):
        pass
