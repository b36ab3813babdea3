"""The driver against the emulated radar, over real pseudo-terminals and pyserial."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Callable, Iterator

import numpy as np
import pytest

from sensors.config import RadarConfig
from sensors.emulation.pty import PtyPort
from sensors.emulation.radar_device import EmulatedRadar
from sensors.events import Sample
from sensors.radar.driver import DEFAULT_CFG, Radar
from sensors.radar.frames import FrameParser, encode_frame
from sensors.sensor import Sensor, SensorError, SensorLost, SensorNotFound

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
        device = EmulatedRadar(self.cli, self.data, self.motion)  # type: ignore[arg-type]
        self._thread = threading.Thread(target=device.run, args=(self._stop, self.start_ns))
        self._thread.start()

    def config(self, **changes: object) -> RadarConfig:
        return RadarConfig(**{"cli_port": str(self.cli.link), "data_port": str(self.data.link), **changes})

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.cli.unplug()
        self.data.unplug()


@pytest.fixture()
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def collect(radar: Sensor, count: int, give_up_s: float = 20.0) -> list[Sample]:
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
        assert 0 <= sample.stamp_ns - rig.start_ns - number * PERIOD_NS < 500e6
        assert sample.stamp_ns <= sample.arrival_ns + len(samples)


def test_every_frame_arrives_with_its_points_and_its_time(rig: Rig) -> None:
    with Radar(rig.config()) as radar:
        samples = collect(radar, 30)
    assert_contiguous(rig, samples)
    assert any(len(sample.data) == 0 for sample in samples)
    assert {sample.sensor for sample in samples} == {"radar"}
    counts = radar.info.counts
    assert counts["samples"] >= len(samples)
    assert not counts["lost_samples"] + counts["skipped_bytes"] + counts["implausible_points"]


def test_stamps_are_steadier_than_arrivals(rig: Rig) -> None:
    with Radar(rig.config()) as radar:
        samples = collect(radar, 40)
    stamps = np.diff([sample.stamp_ns for sample in samples])
    assert np.median(np.abs(stamps - PERIOD_NS)) <= 10e3  # the clock allows for 1e-4 of drift, which is 5 us
    assert np.all(stamps > 0)


def test_raw_bytes_are_those_of_the_data_port(rig: Rig) -> None:
    with Radar(rig.config()) as radar:
        samples = collect(radar, 10)
    frames = FrameParser().feed(b"".join(sample.raw for sample in samples), 0)
    assert len(frames) == len(samples)
    for frame, sample in zip(frames, samples):
        np.testing.assert_array_equal(frame.points, sample.data)


def test_the_shipped_configuration_tells_the_frame_rate_before_connecting(rig: Rig) -> None:
    assert Radar(rig.config()).info.rate_hz == pytest.approx(20)


def test_latency_is_taken_off_the_stamps(rig: Rig) -> None:
    with Radar(rig.config(latency_ms=1000)) as radar:
        (sample, *_) = collect(radar, 1)
    assert sample.arrival_ns - sample.stamp_ns >= 1e9


def test_a_radar_left_running_by_a_killed_program_is_taken_over(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.radar.cli._QUIET_S", 0.2)  # so that old frames come before it is stopped
    killed = Radar(rig.config())
    killed.connect()
    killed._close()  # what the kernel does for it
    with Radar(rig.config()) as radar:
        assert_contiguous(rig, collect(radar, 5))


def test_an_unplugged_radar_is_lost_and_comes_back(rig: Rig) -> None:
    radar = Radar(rig.config())
    radar.connect()
    before = collect(radar, 5)
    rig.cli.unplug()
    rig.data.unplug()
    with pytest.raises(SensorLost, match="unplugged"):
        while True:
            before += radar.read(0.2)
    radar.disconnect()
    with pytest.raises(SensorNotFound, match="no such device"):
        radar.connect()
    rig.cli.plug()
    rig.data.plug()
    radar.connect()
    after = collect(radar, 5)
    radar.disconnect()
    assert_contiguous(rig, after)
    assert after[0].stamp_ns > before[-1].stamp_ns
    with pytest.raises(SensorLost, match="not connected"):
        radar.read(0)


def test_corrupt_bytes_cost_frames_and_nothing_else(rig: Rig) -> None:
    with Radar(rig.config()) as radar:
        collect(radar, 5)
        rig.data.corrupt_share = 0.01
        corrupted = collect(radar, 40)
        rig.data.corrupt_share = 0.0
        clean = collect(radar, 20)
    assert radar.info.counts["lost_samples"] > 0
    stamps = [sample.stamp_ns for sample in corrupted + clean]
    assert np.all(np.diff(stamps) > 0)
    assert_contiguous(rig, clean[5:])


def test_half_a_frame_is_lost_rather_than_half_a_person(rig: Rig) -> None:
    with Radar(rig.config()) as radar:
        (*_, last) = collect(radar, 10)
        rig.motion.duration_s = 0  # the cable is ours
        while True:
            more = radar.read(0.3)
            if not more:
                break
            last = more[-1]
        number = round((last.stamp_ns - rig.start_ns) / PERIOD_NS) + 1
        frames = [encode_frame(number + i, Counting().radar(6 / 20)) for i in range(3)]
        frames[1] = frames[1][:-80]
        rig.data.write(b"".join(frames))
        samples = collect(radar, 2)
        samples += radar.read(0.2)
    assert [len(sample.data) for sample in samples] == [6, 6]
    assert radar.info.counts["lost_samples"] == 1


def test_objects_in_unknown_tlvs_are_told_of_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Radar(rig.config()) as radar:
        (*_, last) = collect(radar, 5)
        rig.motion.duration_s = 0  # the cable is ours
        samples = [last]
        while samples:
            (last, *_), samples = samples[::-1], radar.read(0.3)
        number = round((last.stamp_ns - rig.start_ns) / PERIOD_NS) + 1
        frames = [encode_frame(number + i, Counting().radar(6 / 20)) for i in range(4)]
        for i in (1, 2):
            frames[i] = frames[i][:40] + (301).to_bytes(4, "little") + frames[i][44:]
        for frame in frames:
            rig.data.write(frame)
            samples += radar.read(0.3)
    assert [len(sample.data) for sample in samples] == [6, 6]
    assert radar.info.counts["lost_samples"] == 2
    (said,) = caplog.messages
    assert "types: 301, 7." in said


def edited_cfg(folder: Path, edit: Callable[[str], str]) -> Path:
    path = folder / "edited.cfg"
    path.write_text(edit(DEFAULT_CFG.read_text()))
    return path


def test_a_refused_command_is_named_with_its_line_and_the_firmwares_words(rig: Rig, tmp_path: Path) -> None:
    cfg = edited_cfg(tmp_path, lambda text: text.replace("clutterRemoval", "clutterRemovel"))
    line = 1 + next(n for n, text in enumerate(cfg.read_text().splitlines()) if text.startswith("clutterRemovel"))
    expected = f"edited.cfg, line {line}: `clutterRemovel -1 1`.*'clutterRemovel' is not recognized as a CLI command"
    with pytest.raises(SensorError, match=expected):
        Radar(rig.config(cfg=cfg)).connect()

    cfg = edited_cfg(tmp_path, lambda text: text.replace("lowPower 0 0", "lowPower 0"))
    with pytest.raises(SensorError, match=r"`lowPower 0`: .*Invalid usage of the CLI command / Error -1"):
        Radar(rig.config(cfg=cfg)).connect()


def test_a_refused_configuration_leaves_the_ports_free(rig: Rig, tmp_path: Path) -> None:
    cfg = edited_cfg(tmp_path, lambda text: text.replace("flushCfg", "flashCfg"))
    refused = Radar(rig.config(cfg=cfg))
    with pytest.raises(SensorError):
        refused.connect()
    with Radar(rig.config()) as radar:
        collect(radar, 2)
    refused.disconnect()


def test_a_missing_data_port_leaves_the_other_one_free(rig: Rig) -> None:
    halved = Radar(rig.config(data_port=str(rig.data.link) + "x"))
    with pytest.raises(SensorNotFound):
        halved.connect()
    with Radar(rig.config()) as radar:
        collect(radar, 2)
    halved.disconnect()


def test_swapped_ports_are_named(rig: Rig) -> None:
    swapped = rig.config(cli_port=str(rig.data.link), data_port=str(rig.cli.link))
    with pytest.raises(SensorError, match=f'swapped.*cli_port = "{rig.cli.link}"'):
        Radar(swapped).connect()


def test_a_silent_command_line_asks_for_the_reset_button(tmp_path: Path) -> None:
    ports = [PtyPort(tmp_path / name, baud) for name, baud in (("cli", 115200), ("data", 921600))]
    with pytest.raises(SensorError, match=r"heard nothing.*swapped.*reset button"):
        Radar(RadarConfig(cli_port=str(ports[0].link), data_port=str(ports[1].link))).connect()
    for port in ports:
        port.unplug()


def test_a_radar_without_frames_says_what_to_check(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.radar.driver._FIRST_FRAME_S", 0.3)
    other = PtyPort(rig.data.link.with_name("other"), 921600)
    with pytest.raises(SensorError, match=r"radar data on .*no byte came.*reset button"):
        Radar(rig.config(data_port=str(other.link))).connect()
    other.unplug()


def test_a_data_port_at_the_wrong_speed_is_told_from_a_silent_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sensors.radar.driver._FIRST_FRAME_S", 0.3)
    with pytest.raises(SensorError, match=r"bytes came, none of them the start of a frame.*115200 baud"):
        Radar(rig.config(data_baud=115200)).connect()


def test_one_port_without_the_other_is_refused(rig: Rig) -> None:
    with pytest.raises(SensorError, match="both cli_port and data_port"):
        Radar(RadarConfig(cli_port=str(rig.cli.link))).connect()


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=r"nowhere\.cfg"):
        Radar(RadarConfig(cfg=tmp_path / "nowhere.cfg"))


def test_a_configuration_too_big_for_the_data_port_is_warned_of(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = edited_cfg(tmp_path, lambda text: text.replace("guiMonitor -1 1 0 0 0 0 1", "guiMonitor -1 1 0 0 0 1 1"))
    with caplog.at_level(logging.WARNING), Radar(rig.config(cfg=cfg)):
        pass
    assert "edited.cfg: a frame with 200 points" in caplog.text
    assert "rangeDopplerHeatMap" in caplog.text
