"""The sensors of a rig, by name."""

from __future__ import annotations

from collections import Counter
from typing import Collection, FrozenSet, List, Mapping, Sequence

from cosmo_runtime.sensors.config import RigConfig, RigSensor
from cosmo_runtime.sensors.discovery import Others, attached
from cosmo_runtime.sensors.kinds import SENSORS
from cosmo_runtime.sensors.sensor import Sensor, SensorError


def open_sensors(names: Sequence[str], config: RigConfig) -> List[Sensor]:
    """Makes the drivers of the named sensors. None is connected yet.

    Args:
        names: names of sensors in the configuration.
        config: what each sensor is, where it is and how it is set up.

    Raises:
        SensorError: a name is unknown, or it is unclear which name means which device.
    """
    rig = {name: config.sensor(name) for name in names}
    described = {**config.described, **rig}
    _refuse_doubt(described, {sensor.kind for sensor in rig.values()})
    return [SENSORS[sensor.kind].open(name, sensor.config, _others(name, described)) for name, sensor in rig.items()]


def _others(name: str, described: Mapping[str, RigSensor]) -> Others:
    configs = [sensor.config for other, sensor in described.items() if other != name]

    def values(*keys: str) -> FrozenSet[str]:
        identities = (getattr(config, key, None) for config in configs for key in keys)
        return frozenset(value for value in identities if value)

    return Others(values("port", "cli_port", "data_port"), values("serial_number"))


def _refuse_doubt(described: Mapping[str, RigSensor], kinds: Collection[str]) -> None:
    """Refuses two names for one device, and two sensors of a kind that cannot be told apart."""
    devices_of = {name: _devices_of(sensor) for name, sensor in described.items()}
    for device, count in Counter(device for devices in devices_of.values() for device in devices).items():
        if count > 1:
            names = [name for name, devices in devices_of.items() if device in devices]
            raise SensorError(f"{' and '.join(names)} are set to the same device, {device}; give each its own")
    for kind in sorted(kinds):
        unclear = [name for name, sensor in described.items() if sensor.kind == kind and not devices_of[name]]
        if len(unclear) > 1:
            keys = " or ".join(SENSORS[kind].identified_by)
            section = described[unclear[0]].config.section
            raise SensorError(
                f"{' and '.join(unclear)} are all of kind {kind}, but nothing says which device is which: set {keys} "
                f"in {section} of the configuration; {attached()}; `cosmo-runtime doctor` lists cameras"
            )


def _devices_of(sensor: RigSensor) -> List[str]:
    """What the configuration says about which device a sensor is."""
    keys = SENSORS[sensor.kind].identified_by
    return [str(value) for key in keys for value in [getattr(sensor.config, key)] if value]
