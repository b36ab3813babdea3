"""Finding ports among USB devices, as pyserial describes them on Linux."""

from __future__ import annotations

from typing import Callable

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from cosmo_runtime.sensors.config import RadarConfig, RigConfig
from cosmo_runtime.sensors.discovery import Others, imu_ports, radar_ports
from cosmo_runtime.sensors.rig import open_sensors
from cosmo_runtime.sensors.sensor import SensorError, SensorNotFound
from tests.sensors.ports import ARDUINO, BUILT_IN, CH340, CP2105, FTDI, XDS110, port

Attach = Callable[..., None]


@pytest.fixture
def attach(monkeypatch: pytest.MonkeyPatch) -> Attach:
    """Makes the given ports the ones that are attached."""
    return lambda *ports: monkeypatch.setattr(list_ports, "comports", lambda: list(ports))


def test_imu_ports_are_the_usb_ports_that_are_no_radar_known_adapters_first(attach: Attach) -> None:
    attach(BUILT_IN, ARDUINO, *XDS110, CH340, *CP2105, FTDI)
    assert imu_ports(None) == ["/dev/ttyUSB0", "/dev/ttyUSB1", "/dev/ttyACM0"]
    assert imu_ports(None, Others(ports=frozenset(["/dev/ttyUSB0", "/dev/ttyACM0"]))) == ["/dev/ttyUSB1"]


def test_an_imu_is_found_by_its_serial_number_under_any_name(attach: Attach) -> None:
    attach(CH340, FTDI)
    assert imu_ports("A50285BI") == ["/dev/ttyUSB1"]
    attach(CH340, port("/dev/ttyUSB7", 0x0403, 0x6001, "A50285BI"))
    assert imu_ports("A50285BI") == ["/dev/ttyUSB7"]


def test_a_missing_imu_names_what_was_looked_for_and_what_is_there(attach: Attach) -> None:
    attach(BUILT_IN)
    with pytest.raises(SensorNotFound, match="no USB serial port is attached"):
        imu_ports(None)
    attach(CH340)
    with pytest.raises(SensorNotFound, match="serial number A50285BI; attached: /dev/ttyUSB0"):
        imu_ports("A50285BI")


@pytest.mark.parametrize(
    ("ports", "expected"),
    [(XDS110, ("/dev/ttyACM1", "/dev/ttyACM2")), (CP2105, ("/dev/ttyUSB3", "/dev/ttyUSB4"))],
)
def test_a_board_gives_its_cli_port_then_its_dataport(
    attach: Attach, ports: list[ListPortInfo], expected: tuple[str, str]
) -> None:
    for order in (ports, ports[::-1]):
        attach(CH340, *order)
        assert radar_ports(None) == expected
        assert radar_ports(ports[0].serial_number) == expected


def test_of_two_boards_one_must_be_named(attach: Attach) -> None:
    attach(*XDS110, *CP2105)
    assert radar_ports("R0041038") == ("/dev/ttyACM1", "/dev/ttyACM2")
    with pytest.raises(SensorError, match="serial_number to one of 00E24282, R0041038"):
        radar_ports(None)


def test_a_missing_board_names_what_was_looked_for_and_what_is_there(attach: Attach) -> None:
    attach(CH340)
    with pytest.raises(SensorNotFound, match=r"XDS110.*attached: /dev/ttyUSB0"):
        radar_ports(None)
    attach(*XDS110)
    with pytest.raises(SensorNotFound, match="with serial number 00E24282; attached: /dev/ttyACM2"):
        radar_ports("00E24282")


def test_half_a_board_is_refused(attach: Attach) -> None:
    attach(XDS110[0])
    with pytest.raises(SensorError, match="two ports"):
        radar_ports(None)


def test_a_rig_looks_for_no_imu_on_the_ports_of_its_radar(attach: Attach) -> None:
    attach(CH340, FTDI)
    config = RigConfig(radar=RadarConfig(cli_port=CH340.device, data_port=FTDI.device))
    (imu,) = open_sensors(["imu"], config)
    with pytest.raises(SensorNotFound, match=r"looked for a USB serial port.*rfcomm0.* set port in"):
        imu.connect()
