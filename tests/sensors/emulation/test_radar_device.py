"""The emulated radar, as a program without our driver sees it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import pytest

from cosmo_runtime.sensors.emulation.pty import PtyPort
from cosmo_runtime.sensors.emulation.radar_device import EmulatedRadar
from cosmo_runtime.sensors.radar.driver import DEFAULT_CFG
from cosmo_runtime.sensors.radar.frames import Frame, FrameParser
from cosmo_runtime.sensors.serial_port import SerialPort

COMMANDS = [line for line in DEFAULT_CFG.read_text().splitlines() if not line.startswith("%")]


class Approaching:
    """One point that comes nearer by a metre a second."""

    duration_s = 60.0

    def radar(self, time_s: float) -> np.ndarray:
        return np.array([[0, 100 - time_s, 0, -1, 30]], np.float32)


class Bench:
    """A running device and the host's two ports."""

    def __init__(self, folder: Path, motion: object) -> None:
        self.motion: Any = motion
        self.cables = PtyPort(folder / "cli", 115200), PtyPort(folder / "data", 921600)
        self.start_ns = time.monotonic_ns()
        self._stop = threading.Event()
        self.device = EmulatedRadar(*self.cables, self.motion)
        self._thread = threading.Thread(target=self.device.run, args=(self._stop, self.start_ns))
        self._thread.start()
        self.open()

    def open(self) -> None:
        self.cli = SerialPort(str(self.cables[0].link), 115200, "CLI")
        self.data = SerialPort(str(self.cables[1].link), 921600, "data")

    def ask(self, command: str) -> str:
        self.cli.write(command.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"mmwDemo:/>"):
            data = self.cli.read(5)
            assert data, f"no prompt after {answer!r}"
            answer += data
        return answer.decode()

    def start(self, **changes: str) -> None:
        for command in COMMANDS:
            name = command.split()[0]
            assert "Done" in self.ask(changes.get(name, command)), command

    @property
    def now_s(self) -> float:
        return (time.monotonic_ns() - self.start_ns) * 1e-9

    def frames(self, count: int) -> list[Frame]:
        parser = FrameParser()
        frames: list[Frame] = []
        while len(frames) < count:
            data = self.data.read(5)
            assert data
            frames += parser.feed(data, time.monotonic_ns())
        return frames

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.cli.close()
        self.data.close()
        for cable in self.cables:
            cable.unplug()


@pytest.fixture()
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, Approaching())
    yield bench
    bench.close()


def test_it_echoes_and_answers_like_the_demo(bench: Bench) -> None:
    assert bench.ask("") == "\r\nmmwDemo:/>"
    assert bench.ask("% a comment") == "% a comment\r\nSkipped\r\nmmwDemo:/>"
    assert bench.ask("flushCfg") == "flushCfg\r\nDone\r\nmmwDemo:/>"
    assert bench.ask("AT+GCAP") == "AT+GCAP\r\n'AT+GCAP' is not recognized as a CLI command\r\nmmwDemo:/>"
    assert "Error -1" in bench.ask("frameCfg 0 1")
    assert "Ignored: Sensor is already stopped\r\nDone" in bench.ask("sensorStop")
    assert "Full configuration must be provided" in bench.ask("sensorStart")


def test_it_is_silent_until_started_and_after_it_is_stopped(bench: Bench) -> None:
    assert bench.data.read(0.2) == b""
    bench.start()
    bench.frames(3)
    assert "Ignored: Sensor is already started" in bench.ask("sensorStart")
    assert "Error" in bench.ask("frameCfg 0 2 80 0 100 1 0")
    assert "Skipped" in bench.ask("% still there?")  # answers while data streams
    bench.frames(3)
    bench.ask("sensorStop")
    while bench.data.read(0.1):
        pass
    assert bench.data.read(0.3) == b""
    bench.ask("sensorStart 0")
    bench.frames(3)


def test_it_stops_after_the_number_of_frames_that_it_is_told(bench: Bench) -> None:
    bench.start(frameCfg="frameCfg 0 2 80 4 50 1 0")
    bench.frames(4)
    assert bench.data.read(0.3) == b""


@pytest.mark.parametrize(("detected_objects", "points", "with_snr"), [(0, 0, False), (1, 1, True), (2, 1, False)])
def test_it_sends_the_points_that_gui_monitor_asks_for(
    bench: Bench, detected_objects: int, points: int, with_snr: bool
) -> None:
    bench.start(guiMonitor=f"guiMonitor -1 {detected_objects} 0 0 0 0 1")
    frame = bench.frames(1)[0]
    assert len(frame.points) == points
    assert np.isfinite(frame.points[:, 4]).any() == with_snr
    assert frame.complete == (points == 1)  # the header counts the point anyway


def test_with_the_hardware_trigger_it_waits_for_a_pulse(bench: Bench) -> None:
    bench.start(frameCfg="frameCfg 0 2 80 0 50 2 0")
    assert bench.data.read(0.3) == b""
    assert "Done" in bench.ask("sensorStop")
    bench.start()
    bench.frames(1)


def test_frame_k_shows_the_motion_at_k_periods(bench: Bench) -> None:
    before_s = bench.now_s
    bench.start(frameCfg="frameCfg 0 2 80 0 100 1 0")
    after_s = bench.now_s
    frames = bench.frames(5)
    numbers = [frame.frame_number for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert before_s * 10 <= numbers[0] <= after_s * 10 + 1
    for frame in frames:
        assert frame.points[0, 1] == pytest.approx(100 - frame.frame_number / 10)
        assert frame.arrival_ns >= bench.start_ns + frame.frame_number * 100_000_000


def test_unplugging_makes_it_forget_its_configuration(bench: Bench) -> None:
    bench.start()
    first = bench.frames(2)
    for port in (bench.cli, bench.data):
        port.close()
    for cable in bench.cables:
        cable.unplug()
    time.sleep(0.2)
    for cable in bench.cables:
        cable.plug()
    bench.open()
    assert bench.data.read(0.2) == b""
    assert "Full configuration must be provided" in bench.ask("sensorStart")
    bench.start()
    assert bench.frames(2)[0].frame_number > first[-1].frame_number


def test_a_line_too_slow_for_its_frames_loses_frames_but_no_time(tmp_path: Path) -> None:
    class Crowd(Approaching):
        def radar(self, time_s: float) -> np.ndarray:
            return np.tile(super().radar(time_s), (400, 1))

    bench = Bench(tmp_path, Crowd())
    bench.start(frameCfg="frameCfg 0 2 80 0 40 1 0")  # 8 kB are 87 ms
    frames = bench.frames(16)
    numbers = np.array([frame.frame_number for frame in frames])
    late_s = np.array([frame.arrival_ns - bench.start_ns for frame in frames]) * 1e-9 - numbers * 0.04
    bench.close()
    assert np.diff(numbers).max() > 1
    assert late_s.max() < 10


def test_it_falls_silent_when_the_motion_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Approaching())
    bench.start()
    bench.motion.duration_s = bench.now_s + 0.5
    sender = bench.device._sender
    assert sender
    sender.join()
    parser = FrameParser()
    frames = []
    while True:
        data = bench.data.read(0.1)
        if not data:
            break
        frames += parser.feed(data, 0)
    bench.close()
    assert frames[-1].frame_number == int(bench.motion.duration_s / 0.05)
