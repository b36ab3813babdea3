"""Plays a motion as events without waiting. Training windows of emulated rigs are cut from these.

Frames pass through librealsense's software device and the depth driver, because its filters shape what a model sees.
IMU and radar samples skip the wire, because its quantisation is below their noise. Stamps are the motion's own time.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Dict, Iterator

import numpy as np

from cosmo_runtime.sensors.config import DepthConfig
from cosmo_runtime.sensors.depth.driver import DepthCamera
from cosmo_runtime.sensors.emulation.camera_device import EmulatedCamera
from cosmo_runtime.sensors.events import Event, Sample, Truth
from cosmo_runtime.sensors.sensor import SensorError, SensorInfo
from cosmo_runtime.sensors.simulation.motion import Motion

_FRAME_TIMEOUT_S = 5.0


def infos_of(motion: Motion) -> Dict[str, SensorInfo]:
    """Infos of the sensors that see a motion, without connecting any."""
    return {
        "imu": SensorInfo("imu", "emulated", motion.imu_rate_hz),
        "depth": SensorInfo("depth", "emulated", motion.camera.rate_hz, depth_scale_m=motion.camera.depth_scale_m),
        "radar": SensorInfo("radar", "emulated", motion.radar_rate_hz),
    }


def events(motion: Motion, until_s: float, config: DepthConfig) -> Iterator[Event]:
    """Yields the events of a rig that sees a motion, from its start to ``until_s``, in order of time.

    Args:
        motion: what moves.
        until_s: how much of it, in seconds.
        config: the depth driver's: decimation and range gate.

    Raises:
        SensorError: librealsense is missing, or its software device does not work.
    """
    until_s = min(until_s, motion.duration_s)
    truths = [(start.start_s, "truth", start.activity) for start in motion.activities(until_s)]
    readings = [
        (k / info.rate_hz, name, "")
        for name, info in infos_of(motion).items()
        for k in range(int(until_s * info.rate_hz) + 1)
    ]
    imu_times = np.arange(int(until_s * motion.imu_rate_hz) + 1) / motion.imu_rate_hz
    imu = iter(motion.imu(imu_times, motion.imu_places[0]).astype(np.float32))
    camera = EmulatedCamera(motion.camera)
    driver = DepthCamera(config, camera)
    try:
        _connect(driver, camera, motion)
        for time_s, name, activity in sorted(
            truths + readings, key=lambda item: (item[0], item[1] != "truth", item[1])
        ):
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
                    raise SensorError(f"the emulated camera delivered no frame within {_FRAME_TIMEOUT_S:.0f} s")
                yield dataclasses.replace(frames[0], stamp_ns=stamp_ns, arrival_ns=stamp_ns)
    finally:
        driver.disconnect()


def _connect(driver: DepthCamera, camera: EmulatedCamera, motion: Motion) -> None:
    """Connects a driver. It needs a frame for that, so frames are pushed until it is connected."""
    frame = motion.depth(0.0)
    with ThreadPoolExecutor(1) as thread:
        connecting = thread.submit(driver.connect)
        while not wait([connecting], 0.02).done:
            camera.push(frame, 0.0)
    connecting.result()
    while driver.read(0.05):
        pass
