"""An emulated radar that runs, with a driver for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from cosmo_runtime.sensors.config import RadarConfig
from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.emulation.radar_device import EmulatedRadar
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.sensor import Sensor

PERIOD_NS = 50_000_000


class Counting:
    """Points whose distance is the number of their frame, in mm beyond a metre; every seventh frame has none."""

    def __init__(self) -> None:
        self.duration_s = float("inf")

    def radar(self, time_s: float) -> np.ndarray:
        number = round(time_s * 20)
        points = np.zeros((number % 7, 5), np.float32)
        points[:, 0] = np.arange(len(points)) / 8
        points[:, 1] = 1 + number * 1e-3
        points[:, 3] = np.cos(time_s)
        points[:, 4] = 20 + np.arange(len(points)) / 10
        return points


class Rig:
    """An emulated radar that runs, and a driver for it."""

    def __init__(self, folder: Path) -> None:
        self.cli = PtyPort(folder / "cli", 115200)
        self.data = PtyPort(folder / "data", 921600)
        self.start_ns = time.monotonic_ns()
        self._stop = threading.Event()
        self.motion = Counting()
        self._device = EmulatedRadar(self.cli, self.data, self.motion)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=self._device.run, args=(self._stop, self.start_ns))
        self._thread.start()

    def config(self, **changes: object) -> RadarConfig:
        return RadarConfig(**{"cli_port": str(self.cli.link), "data_port": str(self.data.link), **changes})

    def end_motion(self) -> None:
        """Lets the radar send no more frames: what comes on the data cable from now on is the test's."""
        self.motion.duration_s = 0
        if self._device._sender:
            self._device._sender.join()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.cli.unplug()
        self.data.unplug()


def collect(radar: Sensor, count: int, give_up_s: float = 60.0) -> list[Sample]:
    samples: list[Sample] = []
    deadline = time.monotonic() + give_up_s
    while len(samples) < count and time.monotonic() < deadline:
        samples += radar.read(0.2)
    assert len(samples) >= count
    return samples


def assert_contiguous(rig: Rig, samples: list[Sample]) -> None:
    """Every frame is there, with the points and near the time of its number."""
    first, *others = {round(1000 * float(s.data[0, 1] - 1)) - i for i, s in enumerate(samples) if len(s.data)}
    assert not others
    for number, sample in enumerate(samples, start=first):
        expected = Counting().radar(number / 20)
        np.testing.assert_array_equal(sample.data[:, :4], expected[:, :4])
        np.testing.assert_allclose(sample.data[:, 4], expected[:, 4], atol=0.051)
        assert 0 <= sample.stamp_ns - rig.start_ns - number * PERIOD_NS < 5e9
        assert sample.stamp_ns <= sample.arrival_ns + len(samples)
