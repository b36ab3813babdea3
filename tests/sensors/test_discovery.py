"""Finding ports among USB devices, as pyserial describes them on Linux."""

from __future__ import annotations

from typing import Callable

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from sensors.config import RadarConfig, RigConfig
from sensors.discovery import imu_ports, radar_ports
from sensors.rig import open_sensors
from sensors.sensor import SensorError, SensorNotFound


def _port(device: str, vid: int, pid: int, serial_number: str | None, location: str = "1-1") -> ListPortInfo:
    port = ListPortInfo(device)
    port.vid, port.pid, port.serial_number, port.location = vid, pid, serial_number, location
    port.product = "a product"
    return port


_BUILT_IN = ListPortInfo("/dev/ttyS0")
_CH340 = _port("/dev/ttyUSB0", 0x1A86, 0x7523, None)
_FTDI = _port("/dev/ttyUSB1", 0x0403, 0x6001, "A50285BI")
_ARDUINO = _port("/dev/ttyACM0", 0x2341, 0x0043, "7573")
_XDS110 = [
    _port("/dev/ttyACM2", 0x0451, 0xBEF3, "R0041038", "1-2.4:1.3"),
    _port("/dev/ttyACM1", 0x0451, 0xBEF3, "R0041038", "1-2.4:1.0"),
]
_CP2105 = [
    _port("/dev/ttyUSB3", 0x10C4, 0xEA70, "00E24282", "3-11:1.0"),
    _port("/dev/ttyUSB4", 0x10C4, 0xEA70, "00E24282", "3-11:1.1"),
]

Attach = Callable[..., None]


@pytest.fixture
def attach(monkeypatch: pytest.MonkeyPatch) -> Attach:
    """Makes the given ports the ones that are attached."""
    return lambda *ports: monkeypatch.setattr(list_ports, "comports", lambda: list(ports))


def test_imu_ports_are_the_usb_ports_that_are_no_radar_known_adapters_first(attach: Attach) -> None:
    attach(_BUILT_IN, _ARDUINO, *_XDS110, _CH340, *_CP2105, _FTDI)
    assert imu_ports(None) == ["/dev/ttyUSB0", "/dev/ttyUSB1", "/dev/ttyACM0"]
    assert imu_ports(None, taken=["/dev/ttyUSB0", "/dev/ttyACM0"]) == ["/dev/ttyUSB1"]


def test_an_imu_is_found_by_its_serial_number_under_any_name(attach: Attach) -> None:
    attach(_CH340, _FTDI)
    assert imu_ports("A50285BI") == ["/dev/ttyUSB1"]
    attach(_CH340, _port("/dev/ttyUSB7", 0x0403, 0x6001, "A50285BI"))
    assert imu_ports("A50285BI") == ["/dev/ttyUSB7"]


def test_a_missing_imu_names_what_was_looked_for_and_what_is_there(attach: Attach) -> None:
    attach(_BUILT_IN)
    with pytest.raises(SensorNotFound, match="no USB serial port is attached"):
        imu_ports(None)
    attach(_CH340)
    with pytest.raises(SensorNotFound, match="serial number A50285BI; attached: /dev/ttyUSB0"):
        imu_ports("A50285BI")


@pytest.mark.parametrize(
    ("ports", "expected"),
    [(_XDS110, ("/dev/ttyACM1", "/dev/ttyACM2")), (_CP2105, ("/dev/ttyUSB3", "/dev/ttyUSB4"))],
)
def test_a_board_gives_its_cli_port_then_its_data_port(
    attach: Attach, ports: list[ListPortInfo], expected: tuple[str, str]
) -> None:
    for order in (ports, ports[::-1]):
        attach(_CH340, *order)
        assert radar_ports(None) == expected
        assert radar_ports(ports[0].serial_number) == expected


def test_of_two_boards_one_must_be_named(attach: Attach) -> None:
    attach(*_XDS110, *_CP2105)
    assert radar_ports("R0041038") == ("/dev/ttyACM1", "/dev/ttyACM2")
    with pytest.raises(SensorError, match="serial_number to one of 00E24282, R0041038"):
        radar_ports(None)


def test_a_missing_board_names_what_was_looked_for_and_what_is_there(attach: Attach) -> None:
    attach(_CH340)
    with pytest.raises(SensorNotFound, match=r"XDS110.*attached: /dev/ttyUSB0"):
        radar_ports(None)
    attach(*_XDS110)
    with pytest.raises(SensorNotFound, match="with serial number 00E24282; attached: /dev/ttyACM2"):
        radar_ports("00E24282")


def test_half_a_board_is_refused(attach: Attach) -> None:
    attach(_XDS110[0])
    with pytest.raises(SensorError, match="two ports"):
        radar_ports(None)


def test_a_rig_looks_for_no_imu_on_the_ports_of_its_radar(attach: Attach) -> None:
    attach(_CH340, _FTDI)
    config = RigConfig(radar=RadarConfig(cli_port=_CH340.device, data_port=_FTDI.device))
    (imu,) = open_sensors(["imu"], config)
    with pytest.raises(SensorNotFound, match="looked for a USB serial port"):
        imu.connect()
