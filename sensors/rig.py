"""The sensors of a rig, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Sequence

from sensors.config import RigConfig
from sensors.sensor import Sensor

if TYPE_CHECKING:
    from sensors.depth.driver import FrameSource

SENSOR_NAMES = ("imu", "depth", "radar")


def open_sensors(names: Sequence[str], config: RigConfig, camera: Optional[FrameSource] = None) -> list[Sensor]:
    """Builds the drivers of the named sensors; none is connected yet.

    Args:
        names: of ``SENSOR_NAMES``.
        config: where each sensor is and how it is set up.
        camera: where depth frames come from, instead of the camera or file of the configuration.
    """
    # A rig without a camera runs where pyrealsense2 is not installed, so each driver is imported when it is asked for.
    sensors: list[Sensor] = []
    for name in names:
        if name == "imu":
            from sensors.imu.driver import Imu

            taken = [port for port in (config.radar.cli_port, config.radar.data_port) if port]
            sensors.append(Imu(config.imu, taken=taken))
        elif name == "depth":
            from sensors.depth.driver import DepthCamera

            sensors.append(DepthCamera(config.depth, camera))
        elif name == "radar":
            from sensors.radar.driver import Radar

            sensors.append(Radar(config.radar))
    return sensors
