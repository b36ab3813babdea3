"""The emulated IMU, as a host hears it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Dict, List, Type, Union

import numpy as np
import pytest
import serial

from cosmo_runtime.sensors.emulation.imu_device import EmulatedImu
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.imu import witmotion, xsens
from cosmo_runtime.sensors.imu.stream import Reading

_PARSERS: Dict[str, Type[Union[witmotion.WitMotionParser, xsens.XsensParser]]] = {
    "witmotion": witmotion.WitMotionParser,
    "xsens": xsens.XsensParser,
}


class Ramp:
    """Acceleration x counts the samples in tenths; there is no magnetic field."""

    def __init__(self, duration_s: float, rate_hz: float) -> None:
        self.duration_s = duration_s
        self.imu_rate_hz = rate_hz

    def imu(self, times_s: np.ndarray, place: str) -> np.ndarray:
        values = np.full((len(times_s), 9), np.nan)
        values[:, :6] = 0
        values[:, 0] = times_s * self.imu_rate_hz / 10
        return values


class Halting(Ramp):
    """Stands still after its first five samples at 20 Hz, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(1.0, 20)
        self.halted, self.go_on = threading.Event(), threading.Event()

    def imu(self, times_s: np.ndarray, place: str) -> np.ndarray:
        if times_s[0] > 0:
            self.halted.set()
            assert self.go_on.wait(60)
        return super().imu(times_s, place)


def _device(port: PtyPort, motion: Ramp, protocol: str) -> EmulatedImu:
    return EmulatedImu(port, motion, "wrist", protocol)  # type: ignore[arg-type]  # of a motion it needs the IMU alone


def _listen(host: serial.Serial, protocol: str, until: threading.Thread) -> List[Reading]:
    parser = _PARSERS[protocol]()
    readings: List[Reading] = []
    while True:
        is_last = not until.is_alive()
        data = host.read(max(1, host.in_waiting))
        readings += parser.feed(data, time.monotonic_ns())
        if is_last and not data:  # nothing for as long as a read waits
            return readings


@pytest.mark.parametrize("protocol", ["witmotion", "xsens"])
def test_every_sample_is_sent_not_before_its_time_to_the_end_of_the_motion(tmp_path: Path, protocol: str) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 115200)
    with serial.Serial(str(port.link), 115200, timeout=0.05) as host:
        start_ns = time.monotonic_ns() + 100_000_000
        device = _device(port, Ramp(0.8, 100), protocol)
        thread = threading.Thread(target=device.run, args=(threading.Event(), start_ns))
        thread.start()
        readings = _listen(host, protocol, thread)
    numbers = [round(float(reading.values[0]) * 10) for reading in readings]
    assert numbers == list(range(81))
    assert all(reading.arrival_ns >= start_ns + number * 10_000_000 for number, reading in zip(numbers, readings))
    assert np.isnan([reading.values[6:] for reading in readings]).all()
    device_s = np.array([reading.ticks for reading in readings]) * _PARSERS[protocol].tick_ns * 1e-9
    np.testing.assert_allclose(device_s, np.arange(81) / 100, atol=0.0011)


def test_a_late_device_catches_up_and_skips_nothing(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 115200)
    with serial.Serial(str(port.link), 115200, timeout=0.05) as host:
        begun = time.monotonic()
        device = _device(port, Ramp(0.8, 100), "witmotion")
        thread = threading.Thread(target=device.run, args=(threading.Event(), time.monotonic_ns() - 10**9))
        thread.start()
        readings = _listen(host, "witmotion", thread)
    assert [round(float(reading.values[0]) * 10) for reading in readings] == list(range(81))
    assert time.monotonic() - begun >= 81 * 33 / 11520  # no faster than the line


def test_it_stops_when_told(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 115200)
    stop = threading.Event()
    for start_ns in (time.monotonic_ns(), time.monotonic_ns() + 10**12):
        stop.clear()
        run = _device(port, Ramp(float("inf"), 100), "witmotion").run
        thread = threading.Thread(target=run, args=(stop, start_ns))
        thread.start()
        time.sleep(0.05)
        stop.set()
        thread.join(5)
        assert not thread.is_alive()


def test_the_clock_drifts_against_the_hosts(tmp_path: Path) -> None:
    port = PtyPort(tmp_path / "ttyUSB0", 921600)
    with serial.Serial(str(port.link), 921600, timeout=0.05) as host:
        device = _device(port, Ramp(1000.0, 0.01), "xsens")
        thread = threading.Thread(target=device.run, args=(threading.Event(), time.monotonic_ns() - 10**13))
        thread.start()
        readings = _listen(host, "xsens", thread)
    assert readings[-1].ticks == pytest.approx(1000 * 1e4 * (1 + 20e-6), abs=1)


def _obeyed(tmp_path: Path, protocol: str, commands: List[bytes]) -> List[Reading]:
    """Returns what a device at 20 Hz, told so after five samples, sends in a second."""
    port = PtyPort(tmp_path / "ttyUSB0", 115200)
    with serial.Serial(str(port.link), 115200, timeout=0.05) as host:
        motion = Halting()
        device = _device(port, motion, protocol)
        thread = threading.Thread(target=device.run, args=(threading.Event(), time.monotonic_ns()))
        thread.start()
        assert motion.halted.wait(60)
        for command in commands:
            host.write(command)
        motion.go_on.set()
        return _listen(host, protocol, thread)


def _rates_hz(readings: List[Reading], tick_ns: float) -> List[int]:
    ticks = [reading.ticks for reading in readings]
    assert None not in ticks
    steps_s = np.diff(np.array(ticks, float)) * tick_ns * 1e-9
    return sorted({int(rate) for rate in np.round(1 / steps_s, -1)})


def test_a_witmotion_device_obeys_once_unlocked(tmp_path: Path) -> None:
    rate = witmotion.encode_command(witmotion.RATE, witmotion.RATES[100])
    unlock = witmotion.encode_command(witmotion.UNLOCK, witmotion.UNLOCKED)
    assert _rates_hz(_obeyed(tmp_path, "witmotion", [rate]), 1e6) == [20]
    assert _rates_hz(_obeyed(tmp_path, "witmotion", [unlock, rate]), 1e6)[-1] in (90, 100, 110)


def test_a_witmotion_device_sends_the_outputs_it_is_asked_for(tmp_path: Path) -> None:
    unlock = witmotion.encode_command(witmotion.UNLOCK, witmotion.UNLOCKED)
    outputs = witmotion.encode_command(witmotion.OUTPUT_SET, 0x02)
    readings = _obeyed(tmp_path, "witmotion", [unlock, outputs])
    assert readings[0].ticks is not None
    assert readings[-1].ticks is None
    assert np.isfinite(readings[-1].values[:3]).all()
    assert np.isnan(readings[-1].values[3:]).all()


def test_an_xsens_device_takes_a_rate_in_configuration_only(tmp_path: Path) -> None:
    commands, _ = xsens.XsensParser.configuration(100, 115200)
    assert _rates_hz(_obeyed(tmp_path, "xsens", commands[1:2]), 1e5) == [20]
    assert _rates_hz(_obeyed(tmp_path, "xsens", commands), 1e5)[-1] == 100
    assert len(_obeyed(tmp_path, "xsens", commands[:1])) <= 10  # it waits to be told to measure
