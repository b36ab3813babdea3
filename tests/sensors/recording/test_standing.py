from __future__ import annotations

from pathlib import Path

import numpy as np

from cosmo_runtime.sensors.events import Correction, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingWriter
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
