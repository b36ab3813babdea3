"""The serial port at the host's end of an emulated cable."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.sensor import SensorError, SensorLost, SensorNotFound
from cosmo_runtime.sensors.serial_port import SerialPort


@pytest.fixture
def device(tmp_path: Path) -> PtyPort:
    return PtyPort(tmp_path / "ttyUSB0", 115200)


@pytest.fixture
def port(device: PtyPort) -> SerialPort:
    return SerialPort(str(device.link), 115200, "IMU")


def test_bytes_pass_both_ways(device: PtyPort, port: SerialPort) -> None:
    device.write(b"\x00\x11\x13\xff\r\n")  # XON, XOFF and line ends are data
    assert port.read(1) == b"\x00\x11\x13\xff\r\n"
    port.write(b"\x03\x11\x13\xff\r\n")
    assert device.read(1) == b"\x03\x11\x13\xff\r\n"


def test_nothing_in_time_is_no_bytes(port: SerialPort) -> None:
    start = time.monotonic()
    assert port.read(0.05) == b""
    assert time.monotonic() - start >= 0.05
    assert port.read(0) == b""


def test_a_read_returns_with_the_first_bytes(device: PtyPort, port: SerialPort) -> None:
    threading.Timer(0.1, device.write, [b"late"]).start()
    start = time.monotonic()
    assert port.read(30) == b"late"
    assert time.monotonic() - start < 10


def test_unplugged(device: PtyPort, port: SerialPort) -> None:
    device.unplug()
    with pytest.raises(SensorLost, match=f"IMU on {device.link}: unplugged"):
        port.read(1)
    with pytest.raises(SensorLost, match="cannot write"):
        port.write(b"hello")
    with pytest.raises(SensorLost, match="cannot change speed"):
        port.set_baud(9600)
    port.close()


def test_unplugged_while_reading(device: PtyPort, port: SerialPort) -> None:
    threading.Timer(0.1, device.unplug).start()
    with pytest.raises(SensorLost):
        port.read(30)


def test_a_closed_port_is_lost(port: SerialPort) -> None:
    port.close()
    port.close()
    with pytest.raises(SensorLost):
        port.read(0.1)
    with pytest.raises(SensorLost):
        port.write(b"hello")


def test_a_new_speed_drops_what_came_at_the_old_one(device: PtyPort, port: SerialPort) -> None:
    device.write(b"old")
    port.set_baud(9600)
    device.baud = 9600
    device.write(b"new")
    assert port.read(1) == b"new"


def test_a_missing_port_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SensorNotFound, match=r"radar CLI on .*ttyUSB7: no such device"):
        SerialPort(str(tmp_path / "ttyUSB7"), 115200, "radar CLI")


def test_a_busy_port_names_who_can_tell(device: PtyPort, port: SerialPort) -> None:
    with pytest.raises(SensorError, match=f"in use by another program, often ModemManager. `fuser -v {device.link}`"):
        SerialPort(str(device.link), 115200, "IMU")


def test_a_forbidden_port_names_the_group(monkeypatch: pytest.MonkeyPatch, device: PtyPort) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)  # tests may run as root, whom no file refuses
    with pytest.raises(SensorError, match="dialout"):
        SerialPort(str(device.link), 115200, "IMU")


def test_a_file_that_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SensorError, match=r"notes.txt: cannot open"):
        SerialPort(str(tmp_path / "notes.txt"), 115200, "IMU")


@pytest.mark.parametrize("baud", [-1, 0, 2**31 - 1, 2**31, 2**40, 2**80])
def test_a_speed_that_no_port_has_is_an_error_of_the_sensor_or_works(
    device: PtyPort, port: SerialPort, baud: int
) -> None:
    if 0 <= baud < 2**31:  # a pseudo-terminal takes any of them
        port.set_baud(baud)
    else:
        with pytest.raises(SensorError, match=f"IMU on {device.link}: cannot be set to {baud} baud"):
            port.set_baud(baud)
    port.close()
    if 0 <= baud < 2**31:
        SerialPort(str(device.link), baud, "IMU").close()
    else:
        with pytest.raises(SensorError, match=f"radar data on {device.link}: cannot be opened at {baud} baud"):
            SerialPort(str(device.link), baud, "radar data")


@pytest.mark.parametrize("path", ["/dev/tty\0USB0", "", "/dev/" + 300 * "x", "/dev/\udcff"])
def test_a_name_that_no_port_can_have_is_not_found(path: str) -> None:
    with pytest.raises(SensorNotFound, match="no such device"):
        SerialPort(path, 115200, "IMU")
