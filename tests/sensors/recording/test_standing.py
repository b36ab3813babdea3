from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from cosmo_runtime.sensors.events import Correction, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
from cosmo_runtime.sensors.recording.offline_writer import write_events
from cosmo_runtime.sensors.recording.standing import Standing
from cosmo_runtime.sensors.sensor import SensorInfo

_S = 10**9


def test_the_latest_of_each_sensor_stands_and_what_passed_does_not() -> None:
    standing = Standing()
    assert standing.events(0) == []
    for event in (
        StateChange("imu", 0, "ok"),
        StateChange("radar", 0, "ok"),
        Truth(0, "walk"),
        Correction("imu", _S, 10),
        Sample("imu", _S, _S, np.zeros(9, np.float32)),
        Tick(_S),
        StateChange("imu", 2 * _S, "lost", "unplugged"),
        Correction("imu", 3 * _S, 20),
        Truth(4 * _S, "fall"),
    ):
        standing.note(event)
    assert standing.events(9 * _S) == [
        StateChange("imu", 9 * _S, "lost", "unplugged"),
        StateChange("radar", 9 * _S, "ok"),
        Correction("imu", 9 * _S, 20),
        Truth(9 * _S, "fall"),
    ]


def test_an_activity_that_is_still_to_begin_keeps_its_time() -> None:
    standing = Standing()
    standing.note(Truth(9 * _S, "fall"))
    assert standing.events(8 * _S) == [Truth(9 * _S, "fall")]


def test_the_present_activity_stands_though_the_next_is_told_already() -> None:
    standing = Standing()
    for truth in (Truth(0, "walk"), Truth(9 * _S, "fall"), Truth(10 * _S, "lie")):
        standing.note(truth)
    assert standing.events(8 * _S) == [Truth(8 * _S, "walk"), Truth(9 * _S, "fall"), Truth(10 * _S, "lie")]
    assert standing.events(9 * _S) == [Truth(9 * _S, "fall"), Truth(10 * _S, "lie")]
    assert standing.has(Truth(8 * _S, "walk"))
    assert not standing.has(Truth(8 * _S, "fall"))


def test_a_recording_ends_with_what_was_measured_however_early_an_activity_is_told(tmp_path: Path) -> None:
    sample = Sample("imu", 3 * _S, 3 * _S, np.zeros(9, np.float32))
    begins_ns = time.monotonic_ns()
    told = [StateChange("imu", begins_ns, "ok"), Truth(begins_ns, "walk"), Truth(begins_ns + 60 * _S, "fall")]
    with RecordingWriter(tmp_path / "run.mcap", {"imu": SensorInfo("imu", "an IMU", 100)}) as writer:
        for event in told:
            writer.write(event)
    recording = Recording(tmp_path / "run.mcap")
    assert recording.duration_s < 30
    assert list(recording.events()) == told
    write_events(tmp_path / "made.mcap", [sample, Truth(5 * _S, "fall")], recording.infos, {}, 0)
    assert Recording(tmp_path / "made.mcap").duration_s == 0


def test_a_recording_begins_when_it_was_begun_however_long_an_activity_lasts(tmp_path: Path) -> None:
    standing = Standing()
    standing.note(StateChange("imu", 0, "ok"))
    standing.note(Truth(0, "sleep"))
    begins_ns = 8 * 3600 * _S
    sample = Sample("imu", begins_ns, begins_ns + _S, np.zeros(9, np.float32))
    with RecordingWriter(tmp_path / "run.mcap", {"imu": SensorInfo("imu", "an IMU", 100)}) as writer:
        for event in [*standing.events(begins_ns), sample]:
            writer.write(event)
    recording = Recording(tmp_path / "run.mcap")
    assert [type(event) for event in recording.events()] == [StateChange, Truth, Sample]
    assert recording.start_ns == begins_ns
