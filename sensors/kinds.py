"""What rigs know about each kind of sensor: its section of the configuration, and its driver."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Tuple, Type

from cosmo_runtime.kinds import Kinds
from cosmo_runtime.sensors.config import DepthConfig, ImuConfig, RadarConfig, SensorConfig
from cosmo_runtime.sensors.discovery import Others
from cosmo_runtime.sensors.sensor import Sensor


class SensorKind(NamedTuple):
    """How a rig opens one kind of sensor.

    Attributes:
        config: the section of its configuration.
        open: makes the driver, not connected yet, from the sensor's name, its configuration and the other sensors.
        identified_by: the configuration's keys that say which device it is. In a rig with several sensors of this
            kind, all but one need such a key.
    """

    config: Type[SensorConfig]
    open: Callable[[str, Any, Others], Sensor]
    identified_by: Tuple[str, ...] = ()


SENSORS: Kinds[SensorKind] = Kinds("how a rig opens it")


# Each driver is imported when it is needed, so that a rig without a camera runs without pyrealsense2.


def _open_imu(name: str, config: ImuConfig, others: Others) -> Sensor:
    from cosmo_runtime.sensors.imu.driver import Imu

    return Imu(config, name, others)


def _open_depth(name: str, config: DepthConfig, others: Others) -> Sensor:
    from cosmo_runtime.sensors.depth.driver import DepthCamera

    return DepthCamera(config, name=name, others=others)


def _open_radar(name: str, config: RadarConfig, others: Others) -> Sensor:
    from cosmo_runtime.sensors.radar.driver import Radar

    return Radar(config, name, others)


SENSORS.register("imu", SensorKind(ImuConfig, _open_imu, ("port", "serial_number")))
SENSORS.register("depth", SensorKind(DepthConfig, _open_depth, ("serial_number", "file")))
SENSORS.register("radar", SensorKind(RadarConfig, _open_radar, ("cli_port", "data_port", "serial_number")))
