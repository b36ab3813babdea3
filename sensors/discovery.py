"""Finds the serial ports of sensors among the attached USB devices."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import FrozenSet, NamedTuple

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from cosmo_runtime.sensors.sensor import SensorError, SensorNotFound

_IMU_VENDORS = (0x1A86, 0x10C4, 0x0403, 0x2639)  # the adapters CH340, CP210x and FTDI, and Xsens itself
_RADAR_BRIDGES = ((0x0451, 0xBEF3), (0x10C4, 0xEA70))  # vendor and product ids of XDS110 and CP2105


class Others(NamedTuple):
    """What is known about the other sensors of a rig, so that no two sensors share a device.

    Attributes:
        ports: the serial ports they use.
        serial_numbers: their devices' serial numbers.
    """

    ports: FrozenSet[str] = frozenset()
    serial_numbers: FrozenSet[str] = frozenset()


NO_OTHERS = Others()


def imu_ports(serial_number: str | None, others: Others = NO_OTHERS, section: str = "[imu]") -> list[str]:
    """Finds the ports an IMU may be on, the likeliest first. Only listening can tell which one is right.

    Args:
        serial_number: the USB adapter's; None accepts any port that is not a radar's.
        others: the rig's other sensors, whose ports and devices are left alone.
        section: the sensor's section of the configuration, for messages.

    Raises:
        SensorNotFound: no port fits.
    """
    taken = {os.path.realpath(port) for port in others.ports}
    ports = [
        port
        for port in _usb_ports()
        if (port.vid, port.pid) not in _RADAR_BRIDGES
        and serial_number in (None, port.serial_number)
        and port.serial_number not in others.serial_numbers
        and os.path.realpath(port.device) not in taken
    ]
    if not ports:
        raise SensorNotFound(
            f"IMU: looked for a USB serial port{_numbered(serial_number)}; {attached()}. For any other port, such"
            f" as /dev/rfcomm0 of a Bluetooth bridge, set port in {section}."
        )
    return [port.device for port in sorted(ports, key=lambda port: port.vid not in _IMU_VENDORS)]


def radar_ports(serial_number: str | None, others: Others = NO_OTHERS, section: str = "[radar]") -> tuple[str, str]:
    """Finds the two ports of a TI mmWave board, for commands (CLI) and for data.

    The boards carry an XDS110 (user UART, auxiliary data port) or a CP2105 (enhanced, standard port). On both,
    the command port has the lower USB interface number.

    Args:
        serial_number: the board's; may be None if only one board is attached.
        others: the rig's other sensors, whose ports and boards are left alone.
        section: the sensor's section of the configuration, for messages.

    Raises:
        SensorNotFound: there is no such board.
        SensorError: there are several boards, or the board lacks a port.
    """
    taken = {os.path.realpath(port) for port in others.ports}
    boards: dict[str, list[tuple[str, str]]] = defaultdict(list)  # by serial number: (interface, port)
    for port in _usb_ports():
        is_free = port.serial_number not in others.serial_numbers and os.path.realpath(port.device) not in taken
        if (port.vid, port.pid) in _RADAR_BRIDGES and serial_number in (None, port.serial_number) and is_free:
            interface = (port.location or "").rpartition(".")[2]  # the last 3 of 1-2.4:1.3
            boards[str(port.serial_number)].append((interface, port.device))
    if not boards:
        raise SensorNotFound(
            f"radar: looked for a TI board (XDS110 or CP2105){_numbered(serial_number)}; {attached()}."
        )
    if len(boards) > 1:
        numbers = ", ".join(sorted(boards))
        raise SensorError(f"radar: several boards found; in {section} set serial_number to one of {numbers}.")
    (ports,) = boards.values()
    if len(ports) != 2:
        raise SensorError(f"radar: expected the two ports of one board; {attached()}. Plug the board in again.")
    (_, cli), (_, data) = sorted(ports)
    return cli, data


def _usb_ports() -> list[ListPortInfo]:
    return [port for port in list_ports.comports() if port.vid is not None]


def _numbered(serial_number: str | None) -> str:
    return "" if serial_number is None else f" with serial number {serial_number}"


def attached() -> str:
    """Describes the attached USB serial ports."""
    ports = [f"{port.device} ({port.product}, serial number {port.serial_number})" for port in _usb_ports()]
    return f"attached: {', '.join(ports)}" if ports else "no USB serial port is attached"
