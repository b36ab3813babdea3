"""A rig with several sensors of a kind, whose names say which is which."""

from __future__ import annotations

import pytest
from serial.tools import list_ports

from cosmo_runtime.sensors.config import SHORT_FORM, RigConfig
from cosmo_runtime.sensors.rig import open_sensors
from cosmo_runtime.sensors.sensor import SensorError
from tests.sensors.ports import CH340, CP2105, FTDI, XDS110


def rig(**tables: object) -> RigConfig:
    return RigConfig.model_validate({"sensors": tables})


def test_sensors_are_opened_under_their_names_with_their_kinds() -> None:
    config = rig(
        thigh={"kind": "imu", "serial_number": "A1"},
        wrist={"kind": "imu", "serial_number": "A2"},
        door={"kind": "depth"},
    )
    sensors = open_sensors(["wrist", "thigh", "door"], config)
    assert [(sensor.info.name, sensor.info.kind) for sensor in sensors] == [
        ("wrist", "imu"),
        ("thigh", "imu"),
        ("door", "depth"),
    ]


def test_the_short_form_names_a_sensor_after_its_kind() -> None:
    (imu,) = open_sensors(["imu"], RigConfig())
    assert (imu.info.name, imu.info.kind) == ("imu", "imu")


def test_two_sensors_that_nothing_tells_apart_are_refused_with_what_is_attached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: [CH340, FTDI])
    config = rig(wrist={"kind": "imu"}, thigh={"kind": "imu"})
    with pytest.raises(SensorError, match=r"set port or serial_number in \[sensors.wrist\].*A50285BI"):
        open_sensors(["wrist"], config)


def test_a_sensor_knows_where_its_keys_stand() -> None:
    config = rig(imu={"kind": "imu", "port": "/dev/ttyNOWHERE"}, thigh={"kind": "imu"})
    assert [sensor.config.section for sensor in config.described.values()] == ["[sensors.imu]", "[sensors.thigh]"]
    assert [RigConfig().sensor(name).config.section for name in SHORT_FORM] == ["[imu]", "[depth]", "[radar]"]
    again = RigConfig(sensors={"wrist": config.sensor("thigh")})
    assert (again.sensor("wrist").config.section, config.sensor("thigh").config.section) == (
        "[sensors.wrist]",
        "[sensors.thigh]",
    )


def test_what_to_set_is_said_with_the_section_of_that_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    config = rig(thigh={"kind": "imu"}, side={"kind": "radar"}, front={"kind": "radar", "cli_port": "/dev/ttyA"})
    sensors = open_sensors(["thigh", "side", "front"], config)
    for ports, words in [
        ([], r"set port in \[sensors.thigh\]\."),
        ([*XDS110, *CP2105], r"several boards found; in \[sensors.side\] set serial_number to one of"),
        ([], r"set both cli_port and data_port in \[sensors.front\]"),
    ]:
        monkeypatch.setattr(list_ports, "comports", lambda ports=ports: ports)
        with pytest.raises(SensorError, match=words):
            sensors.pop(0).connect()


def test_one_device_is_not_given_to_two_names() -> None:
    config = rig(wrist={"kind": "imu", "serial_number": "A1"}, thigh={"kind": "imu", "serial_number": "A1"})
    with pytest.raises(SensorError, match="wrist and thigh are set to the same device, A1"):
        open_sensors(["wrist", "thigh"], config)


def test_a_sensor_that_is_found_by_itself_leaves_the_others_devices_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_ports, "comports", lambda: [FTDI, *XDS110])
    config = rig(wrist={"kind": "imu", "serial_number": FTDI.serial_number}, thigh={"kind": "imu"})
    _, thigh = open_sensors(["wrist", "thigh"], config)
    with pytest.raises(SensorError, match="looked for a USB serial port"):
        thigh.connect()
    config = rig(front={"kind": "radar", "serial_number": XDS110[0].serial_number}, side={"kind": "radar"})
    _, side = open_sensors(["front", "side"], config)
    with pytest.raises(SensorError, match="looked for a TI board"):
        side.connect()


def test_a_name_that_is_not_described_is_refused_with_those_that_are() -> None:
    with pytest.raises(SensorError, match="no sensor 'ankle'; there are wrist"):
        open_sensors(["ankle"], rig(wrist={"kind": "imu"}))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"nose": {"kind": "smell"}}, "unknown kind of sensor 'smell'"),
        ({"wrist": {}}, "say which kind"),
        ({"wrist": {"kind": "imu", "prot": 1}}, "wrist.prot: no such key"),
        ({"wrist": {"kind": "imu", "rate_hz": 33}}, "wrist.rate_hz"),
        ({"Wrist!": {"kind": "imu"}}, "not a sensor name"),
        ({"wrist": 5}, "say which kind"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rig(**table)
