"""The emulated cable, seen by a host that uses pyserial."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import serial

from cosmo_runtime.sensors.emulation.pty import PtyPort


@pytest.fixture
def port(tmp_path: Path) -> PtyPort:
    return PtyPort(tmp_path / "ttyUSB0", 115200)


def _host(port: PtyPort, baud: int = 115200) -> serial.Serial:
    return serial.Serial(str(port.link), baud, timeout=2)


def test_bytes_pass_both_ways_unchanged(port: PtyPort) -> None:
    everything = bytes(range(256)) * 3
    with _host(port) as host:
        port.write(everything)
        assert host.read(len(everything)) == everything
        host.write(everything)
        heard = b""
        while len(heard) < len(everything):
            heard += port.read(2)
        assert heard == everything
        assert port.read(0.01) == b""


def test_writing_takes_as_long_as_the_line_would(port: PtyPort) -> None:
    start = time.monotonic()
    port.write(bytes(1152))
    port.write(bytes(1152))
    assert time.monotonic() - start >= 0.2


def test_what_nobody_reads_is_dropped_and_counted(port: PtyPort) -> None:
    port.baud = 4_000_000
    port.write(bytes(100_000))
    with serial.Serial(str(port.link), 115200):
        pass
    assert 50_000 < port.overrun_bytes < 100_000


def test_a_host_at_the_wrong_speed_hears_noise_and_is_not_understood(port: PtyPort) -> None:
    message = b"\x55\x51" * 50
    with _host(port, 9600) as host:
        port.write(message)
        assert host.read(len(message)) != message
        host.write(message)
        assert message not in port.read(2)
        host.baudrate = 115200
        port.write(message)
        assert host.read(len(message)) == message


def test_corruption_hits_the_asked_share_of_bytes(port: PtyPort) -> None:
    port.corrupt_share = 0.1
    with _host(port) as host:
        port.write(bytes(3000))
        damaged = sum(byte != 0 for byte in host.read(3000))
    assert 200 < damaged < 400


def test_pulling_the_cable_fails_the_hosts_read_and_plugging_it_in_gives_a_fresh_line(port: PtyPort) -> None:
    with _host(port) as host:
        port.write(b"before")
        assert host.read(6) == b"before"
        port.unplug()
        assert not port.link.exists()
        with pytest.raises(serial.SerialException):
            host.read()
        with pytest.raises(serial.SerialException):
            host.write(b"gone")
    port.write(b"nobody hears this")
    assert port.read(0.01) == b""
    port.plug()
    with _host(port) as host:
        port.write(b"after")
        assert host.read(5) == b"after"


def test_the_cable_can_be_pulled_while_others_write_and_read(port: PtyPort) -> None:
    port.baud = 4_000_000
    stop = threading.Event()
    failures = []

    def repeat(action: str) -> None:
        try:
            while not stop.is_set():
                port.write(bytes(2000)) if action == "write" else port.read(0.01)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=repeat, args=(action,)) for action in ("write", "read")]
    for thread in threads:
        thread.start()
    for _ in range(200):
        port.unplug()
        time.sleep(0.001)
        port.plug()
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
