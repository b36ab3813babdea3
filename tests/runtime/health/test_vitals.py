from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from cosmo_runtime.runtime.alarms.clips import ClipConfig, ClipRing
from cosmo_runtime.runtime.health.vitals import Histogram, Trouble, Vitals
from cosmo_runtime.runtime.recognition.loop import Outcome
from cosmo_runtime.runtime.recognition.recognizer import Prediction
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Sample, StateChange
from cosmo_runtime.sensors.recording import RecordingError, RecordingWriter, SegmentedWriter
from cosmo_runtime.sensors.sensor import SensorInfo


def outcome(activity: str = "walk", latency_ms: float = 4.0, **sensors: str) -> Outcome:
    prediction = Prediction("person", 10**9, activity, 0.9, {activity: 0.9}, {}, {}, 1.0, latency_ms)
    return Outcome(
        prediction, Window(10**9, {}, {}, 10**9), sensors or {"imu": "ok"}, 0, None, inside=False, hop_ns=500_000_000
    )


def infos() -> dict:
    return {"imu": SensorInfo("imu", "an IMU", 100), "radar": SensorInfo("radar", "a radar", 20)}


def test_a_run_has_a_minute_for_its_first_window() -> None:
    vitals = Vitals(infos())
    told = vitals.as_dict()
    assert (told["well"], told["starting"], told["troubles"]) == (True, True, [])
    vitals.began_ns -= 61 * 10**9
    told = vitals.as_dict()
    assert (told["well"], told["starting"]) == (False, False)
    assert told["troubles"] == ["imu is missing", "radar is missing", "nothing is recognised"]


def test_what_else_is_wrong_is_a_trouble_at_once_and_only_a_grave_one_makes_a_run_ill() -> None:
    assert not Vitals(infos(), others=lambda: [Trouble("no broker", grave=True)]).as_dict()["well"]
    told = Vitals(infos(), others=lambda: [Trouble("no 'lie'", grave=False)]).as_dict()
    assert (told["well"], told["troubles"]) == (True, ["no 'lie'"])


def test_a_run_without_a_window_is_not_well_and_says_why() -> None:
    vitals = Vitals(infos())
    vitals.began_ns -= 61 * 10**9
    vitals.silence(Silence(0, {"imu": "lost", "radar": "absent"}, "imu: lost (unplugged)"))
    assert vitals.troubles() == [
        "imu is lost", "radar is absent", "nothing is recognised (imu: lost (unplugged))",
    ]  # fmt: skip
    assert not vitals.as_dict()["well"]


def test_a_run_whose_sensors_are_all_ok_is_well() -> None:
    vitals = Vitals(infos())
    vitals.outcome(outcome(imu="ok", radar="ok"))
    told = vitals.as_dict()
    assert (told["well"], told["activity"], told["bundle"]) == (True, "walk", "person")
    vitals.event(StateChange("radar", 0, "lost", "unplugged"))
    assert vitals.troubles() == ["radar is lost"]


def test_memory_is_told_and_what_of_it_waits_for_a_clip(tmp_path: Path) -> None:
    ring = ClipRing(tmp_path, infos(), ClipConfig(most_mb=2), lambda _: datetime.now(), {})
    ring.event(Sample("imu", 0, 0, np.zeros(250_000, np.float32)))
    told = Vitals(infos(), clips=ring).as_dict()
    assert 10**6 < told["clips_memory_bytes"] < 1.1e6
    assert told["clips_memory_most_bytes"] == 2 * 10**6
    assert told["memory_bytes"] > told["clips_memory_bytes"]
    assert Vitals(infos()).as_dict()["clips_memory_bytes"] == 0


def test_a_sensor_that_nobody_wears_works() -> None:
    vitals = Vitals(infos())
    vitals.outcome(outcome(imu="not worn", radar="ok"))
    assert vitals.as_dict()["well"]
    assert vitals.states["imu"] == "not worn"


def test_a_sensor_that_sleeps_works() -> None:
    vitals = Vitals(infos())
    vitals.outcome(outcome(imu="ok", radar="asleep"))
    assert vitals.as_dict()["well"]
    assert vitals.as_dict()["sensors"]["radar"] == "asleep"


def test_durations_are_counted_by_their_upper_bound() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.002, 0.004, 9.0):
        histogram.add(seconds)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-1]) == (2, 1, 1)
    assert histogram.sum_s == 9.007


def test_a_recording_that_stopped_is_a_trouble(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "run.mcap", infos())
    recording = RecordingSink(writer)
    vitals = Vitals(infos(), recordings=[recording])
    vitals.outcome(outcome(imu="ok", radar="ok"))
    assert vitals.as_dict()["well"]
    writer.failure = RecordingError("run.mcap: recording stopped: No space left on device")
    assert vitals.troubles() == ["run.mcap: recording stopped: No space left on device"]
    recording.close()


def test_a_recording_that_goes_on_again_is_well_and_what_it_lost_is_still_told(tmp_path: Path) -> None:
    writer = SegmentedWriter(tmp_path / "run", infos())
    recording = RecordingSink(writer)
    vitals = Vitals(infos(), recordings=[recording])
    vitals.outcome(outcome(imu="ok", radar="ok"))
    writer.still_s = 42.2
    assert vitals.as_dict()["well"]
    said = f"{tmp_path / 'run'}: recording stood still for 42 s and went on. 0 events are missing"
    assert vitals.as_dict()["troubles"] == [said]
    recording.close()


def test_a_run_with_a_sensor_out_of_step_is_well_and_says_so() -> None:
    vitals = Vitals(infos())
    vitals.outcome(outcome(imu="ok", radar="ok"))
    vitals.out_of_step({"radar": 180.0})
    assert vitals.troubles() == ["radar is 180 ms behind the others"]
    assert (vitals.as_dict()["well"], vitals.as_dict()["out_of_step_ms"]) == (True, {"radar": 180.0})
    vitals.out_of_step({})
    vitals.corrected({"radar": 180.0})
    assert vitals.troubles() == []
    assert vitals.as_dict()["corrected_ms"] == {"radar": 180.0}
