"""Finds the serial ports of sensors among the USB devices that are attached."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import Collection

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from sensors.sensor import SensorError, SensorNotFound

_IMU_VENDORS = (0x1A86, 0x10C4, 0x0403, 0x2639)  # of the adapters CH340, CP210x and FTDI, and Xsens itself
_RADAR_BRIDGES = ((0x0451, 0xBEF3), (0x10C4, 0xEA70))  # vendor and product of XDS110 and CP2105


def imu_ports(serial_number: str | None, taken: Collection[str] = ()) -> list[str]:
    """Finds the ports an IMU may be on, the likeliest first; only listening tells which one it is.

    Args:
        serial_number: of the USB adapter; None for any port that is not a radar's.
        taken: ports, or links to them, that other sensors are known to be on.

    Raises:
        SensorNotFound: there is none.
    """
    others = {os.path.realpath(port) for port in taken}
    ports = [
        port
        for port in _usb_ports()
        if (port.vid, port.pid) not in _RADAR_BRIDGES
        and serial_number in (None, port.serial_number)
        and os.path.realpath(port.device) not in others
    ]
    if not ports:
        raise SensorNotFound(f"IMU: looked for a USB serial port{_numbered(serial_number)}; {_attached()}.")
    return [port.device for port in sorted(ports, key=lambda port: port.vid not in _IMU_VENDORS)]


def radar_ports(serial_number: str | None) -> tuple[str, str]:
    """Finds the two ports of a TI mmWave board: for commands (CLI) and for data.

    The boards carry an XDS110 (user UART, auxiliary data port) or a CP2105 (enhanced, standard port). Both number the
    USB interface for commands lower.

    Args:
        serial_number: of the board; None if only one is attached.

    Raises:
        SensorNotFound: there is no such board.
        SensorError: there are several, or one lacks a port.
    """
    boards: dict[str, list[tuple[str, str]]] = defaultdict(list)  # by serial number: (interface, port)
    for port in _usb_ports():
        if (port.vid, port.pid) in _RADAR_BRIDGES and serial_number in (None, port.serial_number):
            interface = (port.location or "").rpartition(".")[2]  # the last 3 of 1-2.4:1.3
            boards[str(port.serial_number)].append((interface, port.device))
    if not boards:
        raise SensorNotFound(
            f"radar: looked for a TI board (XDS110 or CP2105){_numbered(serial_number)}; {_attached()}."
        )
    if len(boards) > 1:
        raise SensorError(f"radar: several boards found; set serial_number to one of {', '.join(sorted(boards))}.")
    (ports,) = boards.values()
    if len(ports) != 2:
        raise SensorError(f"radar: expected the two ports of one board; {_attached()}. Plug the board in again.")
    (_, cli), (_, data) = sorted(ports)
    return cli, data


def _usb_ports() -> list[ListPortInfo]:
    return [port for port in list_ports.comports() if port.vid is not None]


def _numbered(serial_number: str | None) -> str:
    return "" if serial_number is None else f" with serial number {serial_number}"


def _attached() -> str:
    ports = [f"{port.device} ({port.product}, serial number {port.serial_number})" for port in _usb_ports()]
    return f"attached: {', '.join(ports)}" if ports else "no USB serial port is attached"
