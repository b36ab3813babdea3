"""The driver against the emulated radar, over real pseudo-terminals and pyserial."""

from __future__ import annotations

import logging
import time
from collections import Counter

import numpy as np
import pytest

from cosmo_runtime.sensors.radar.driver import Radar
from cosmo_runtime.sensors.radar.frames import FrameParser, encode_frame
from cosmo_runtime.sensors.sensor import SensorLost, SensorNotFound
from tests.sensors.radar.radar_rig import PERIOD_NS, Counting, Rig, assert_contiguous, collect


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
    assert radar.info.latency_ms == 1000


def test_a_radar_left_running_by_a_killed_program_is_taken_over(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosmo_runtime.sensors.radar.cli._QUIET_S", 0.2)  # so that old frames come before it is stopped
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
        rig.end_motion()
        while True:
            more = radar.read(0.1)
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
        rig.end_motion()
        samples = [last]
        while samples:
            (last, *_), samples = samples[::-1], radar.read(0.1)
        number = round((last.stamp_ns - rig.start_ns) / PERIOD_NS) + 1
        frames = [encode_frame(number + i, Counting().radar(6 / 20)) for i in range(4)]
        for i in (1, 2):
            frames[i] = frames[i][:40] + (301).to_bytes(4, "little") + frames[i][44:]
        for frame in frames:
            rig.data.write(frame)
            samples += radar.read(0.1)
    assert [len(sample.data) for sample in samples] == [6, 6]
    assert radar.info.counts["lost_samples"] == 2
    (said,) = caplog.messages
    assert "types 301, 7 (301 are points of low-power radars" in said


def test_a_stall_of_the_host_loses_as_many_frames_as_are_counted(rig: Rig) -> None:
    rig.motion.radar = lambda time_s: np.full((40, 5), 1 + time_s * 1e-3, np.float32)  # type: ignore[method-assign]
    with Radar(rig.config()) as radar:
        samples = collect(radar, 10)
        time.sleep(2)  # the kernel keeps some kB
        woken_ns = time.monotonic_ns()
        while samples[-1].stamp_ns < woken_ns + 5 * PERIOD_NS:
            samples += radar.read(0.2)
    sent = round(20e3 * float(samples[-1].data[0, 0] - samples[0].data[0, 0])) + 1
    assert sent - len(samples) > 10
    assert +radar.info.counts == +Counter(
        samples=len(samples), lost_samples=sent - len(samples), cut_frames=radar.info.counts["cut_frames"]
    )


def test_a_read_ends_in_time_though_noise_never_does(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()

    def noise(timeout_s: float) -> bytes:
        assert time.monotonic() - began < 30
        return bytes(64)

    with Radar(rig.config()) as radar:
        radar.read(0)  # what connecting has left
        monkeypatch.setattr(radar._data, "read", noise)
        began = time.monotonic()
        assert radar.read(0.1) == []
