from __future__ import annotations

import json
import time
from itertools import cycle
from pathlib import Path
from typing import Any, Callable, Dict, List

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.labels.table import read_labels
from cosmo_runtime.runtime.web.recorder import Recorder
from cosmo_runtime.runtime.web.sessions import Sessions
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Correction, Sample, StateChange, Tick, Truth, host_ns
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.full_disk import full_at

Samples = Callable[..., List[Sample]]

_S = 10**9


def test_a_full_disk_ends_the_recording_and_the_page_is_told(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    told: List[Dict[str, Any]] = []
    recorder = Recorder(lambda key, payload: told.append(json.loads(payload)), infos, {})
    recorder.obey({"do": "record", "path": str(tmp_path / "run.mcap")})
    stream, end = cycle(samples("depth", 0, 10)), time.monotonic() + 60
    while not any(message.get("name") for message in told):
        assert time.monotonic() < end
        time.sleep(0.01)
    with full_at(20_000):
        while not any("error" in message for message in told):
            assert time.monotonic() < end
            recorder.event(next(stream))
            time.sleep(0.005)
    recorder.close()
    (failed,) = (message for message in told if "error" in message)
    assert "recording stopped: File too large" in failed["error"]
    assert failed["name"] is None
    assert Recording(tmp_path / "run.mcap").cut


def test_a_recording_that_begins_after_a_correction_begins_with_it(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    told: List[Dict[str, Any]] = []
    recorder = Recorder(lambda key, payload: told.append(json.loads(payload)), infos, {})
    recorder.event(Correction("radar", 10**9, 180_000_000))
    began_ns = time.monotonic_ns()
    recorder.obey({"do": "record", "path": str(tmp_path / "run.mcap")})
    while not any(message.get("name") for message in told):
        time.sleep(0.01)
    recorder.close()
    (again,) = Recording(tmp_path / "run.mcap").events()
    assert isinstance(again, Correction)
    assert (again.sensor, again.taken_off_ns, again.at_ns > began_ns) == ("radar", 180_000_000, True)


def test_a_recording_amid_a_run_has_the_windows_of_the_run(
    tmp_path: Path, infos: Dict[str, SensorInfo], spec: ModelSpec, samples: Samples
) -> None:
    """The radar is ``ok`` and brings nothing, so each window waits for it as long as it may."""
    begin_s = int(time.monotonic())
    ticks = [Tick(begin_s * _S + ms * 10**6) for ms in range(0, 12_000, 20)]
    events = sorted([*samples("imu", begin_s, begin_s + 12), *ticks], key=host_ns)
    states = [StateChange(name, begin_s * _S, "ok") for name in ("imu", "radar")]
    told: List[Dict[str, Any]] = []
    recorder = Recorder(lambda key, payload: told.append(json.loads(payload)), infos, {})
    aligner, windows = Aligner(spec, infos), []
    for number, event in enumerate([*states, Truth(begin_s * _S, "walk"), *events]):
        if number == len(events) // 3:
            recorder.obey({"do": "record", "path": str(tmp_path / "run.mcap")})
            while not any(message.get("name") for message in told):
                time.sleep(0.01)
        windows += aligner.feed(event)
        recorder.event(event)
        while recorder._active and recorder._active.sink.writer.queued > 500:
            time.sleep(0.01)
    recorder.close()
    again = list(Recording(tmp_path / "run.mcap").events())
    assert [(event.sensor, event.state) for event in again if isinstance(event, StateChange)] == [
        ("imu", "ok"),
        ("radar", "ok"),
    ]
    assert [event.activity for event in again if isinstance(event, Truth)] == ["walk"]
    replayed = [(window.end_ns, window.digest(), window.late) for window in Aligner(spec, infos).windows(again)]
    assert len(replayed) >= 5
    assert replayed == [(window.end_ns, window.digest(), window.late) for window in windows[-len(replayed) :]]


def test_a_recording_is_of_its_participant_until_all_of_that_one_is_deleted(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    from cosmo_runtime.runtime.cli import main

    told: List[Dict[str, Any]] = []
    recorder = Recorder(lambda key, payload: told.append(json.loads(payload)), infos, {})
    for name, who in ("of P17", "P17"), ("of nobody", None):
        recorder.obey({"do": "record", "path": str(tmp_path / f"{name}.mcap"), "participant": who})
        while told[-1].get("name") != name:
            time.sleep(0.01)
        begin_s = int(time.monotonic())
        for event in samples("imu", begin_s, begin_s + 2):
            recorder.event(event)
        recorder.obey({"do": "stop"})
        while told[-1].get("kept") != name:
            time.sleep(0.01)
    recorder.close()
    sessions = Sessions(tmp_path, tmp_path / "cache")
    assert sessions.rename("of P17", "renamed") == "renamed"
    sessions.cut("renamed", "piece", 0, 1)
    listed = {entry["name"]: entry["participant"] for entry in sessions.list()}
    assert listed == {"renamed": "P17", "piece": "P17", "of nobody": None}
    main(["purge", str(tmp_path), "--participant", "P17", "--cache", str(tmp_path / "cache")])
    assert [entry["name"] for entry in sessions.list()] == ["of nobody"]


def test_a_table_that_came_meanwhile_is_not_replaced(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    told: List[Dict[str, Any]] = []
    recorder = Recorder(lambda key, payload: told.append(json.loads(payload)), infos, {})
    (tmp_path / "run.csv").write_text("mine")
    recorder.obey({"do": "record", "path": str(tmp_path / "run.mcap"), "activities": [["wave", 5.0, 1]], "rest_s": 1})
    recorder.close()
    assert "run.csv exists already" in told[-1]["error"]
    assert (tmp_path / "run.csv").read_text() == "mine"
    assert not (tmp_path / "run.mcap").exists()


def test_a_table_that_somebody_makes_during_a_prompt_is_not_replaced(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    told: List[Dict[str, Any]] = []
    recorder = Recorder(lambda key, payload: told.append(json.loads(payload)), infos, {})
    recorder.obey({"do": "record", "path": str(tmp_path / "run.mcap"), "activities": [["wave", 1.0, 2]], "rest_s": 1})
    while not any(message.get("name") for message in told):
        time.sleep(0.01)
    begin_s = int(time.monotonic()) + 1
    for event in samples("imu", begin_s, begin_s + 7):
        if event.arrival_ns > (begin_s + 2) * _S and not (tmp_path / "run.csv").exists():  # before the first label
            (tmp_path / "run.csv").write_text("mine")  # of whoever cannot know that a prompt goes on
        recorder.event(event)
    recorder.close()
    assert (tmp_path / "run.csv").read_text() == "mine"
    (segments,) = read_labels(tmp_path / "run-prompted.csv", tmp_path / "run.mcap").values()
    assert [segment.activity for segment in segments] == ["wave", "wave"]
    (ended,) = (message for message in told if "kept" in message)
    assert "run.csv meanwhile. It stays; the prompted labels are in run-prompted.csv." in ended["error"]
