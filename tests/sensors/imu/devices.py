"""Devices at the far end of emulated cables, for the tests of the driver and of its tuning in."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Callable, List, NamedTuple

import numpy as np

from cosmo_runtime.sensors.emulation.imu_device import EmulatedImu
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import Sensor
from tests.sensors.imu.streams import bluetooth_frame

PROTOCOLS = ["witmotion", "xsens"]
FIRMWARE = {"witmotion": "_WitMotion", "xsens": "_Xsens"}
RESOLUTION = {
    "witmotion": np.repeat([16 * 9.80665 / 32768, np.radians(2000) / 32768, 0.15], 3) * 0.51,
    "xsens": np.full(9, 1e-5),
}


class Waves:
    """Nine sines; what the emulated IMU measures."""

    duration_s = float("inf")
    imu_rate_hz = 100.0

    def imu(self, times_s: np.ndarray, place: str) -> np.ndarray:
        phase = 2 * np.pi * np.outer(times_s, np.linspace(0.3, 1.1, 9))
        return np.sin(phase) * np.repeat([20.0, 5.0, 50.0], 3)


class Served(NamedTuple):
    port: PtyPort
    start_ns: int


class Rig:
    """Serves emulated IMUs until the test ends."""

    def __init__(self, folder: Path) -> None:
        self.stop = threading.Event()
        self.threads: List[threading.Thread] = []
        self.folder = folder

    def serve(self, protocol: str, baud: int = 115200, name: str = "ttyUSB0") -> Served:
        port = PtyPort(self.folder / name, baud)
        start_ns = time.monotonic_ns()
        device = EmulatedImu(port, Waves(), "wrist", protocol)  # type: ignore[arg-type]
        self.threads.append(threading.Thread(target=device.run, args=(self.stop, start_ns)))
        self.threads[-1].start()
        return Served(port, start_ns)


class Repeating:
    """A device that sends the same kind of message over and over, at 100 Hz, and may obey commands."""

    def __init__(self, rig: Rig, make: Callable[[int], bytes], baud: int = 115200, name: str = "ttyUSB0") -> None:
        self.port = PtyPort(rig.folder / name, baud)
        self.commands = b""
        self._make, self._stop = make, rig.stop
        rig.threads.append(threading.Thread(target=self._run))
        rig.threads[-1].start()

    def _run(self) -> None:
        start = time.monotonic()
        for number in itertools.count():
            due = start + number / 100
            self.commands += self.port.read(0)  # a device that has fallen behind still hears
            while not self._stop.is_set() and time.monotonic() < due:
                self.commands += self.port.read(max(0.0, due - time.monotonic()))
            if self._stop.is_set():
                return
            self.port.write(self._make(number))


def frame(number: int) -> bytes:
    """A Bluetooth frame of the waves at 100 Hz."""
    return bluetooth_frame(Waves().imu(np.array([number / 100]), "wrist")[0])


def read(imu: Sensor, count: int) -> List[Sample]:
    """The next samples of a sensor, at least so many."""
    samples: List[Sample] = []
    deadline = time.monotonic() + 60
    while len(samples) < count:
        assert time.monotonic() < deadline, f"only {len(samples)} samples came"
        samples += imu.read(0.05)
    return samples


def connect(imu: Sensor, rate_hz: float) -> None:
    """Connects until the rate is told. A device of threads that a busy machine holds up seems slower than it is."""
    for _ in range(20):
        imu.connect()
        if imu.info.rate_hz == rate_hz:
            return
    raise AssertionError(f"{imu.info.rate_hz} Hz are told, not {rate_hz}")


def backlog(imu: Sensor) -> List[Sample]:
    """The many samples that one read brings after the host has stalled."""
    samples: List[Sample] = []
    deadline = time.monotonic() + 60
    while len(samples) <= 10:  # on a busy machine the device may have stalled, too
        assert time.monotonic() < deadline
        time.sleep(0.3)
        samples = imu.read(1)
    return samples
