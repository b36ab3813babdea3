"""A run is recorded as it would be live, and played back."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List

import numpy as np
import pytest

from models.bundle import Bundle
from models.spec import ModelSpec
from runtime.aligner import Aligner
from runtime.engine import OnnxRuntimeEngine
from runtime.loop import Sink, recognise
from runtime.recognizer import Recognizer
from runtime.record import RecordingSink
from runtime.replay import WindowCheck, is_same_run, replay, windows_key
from sensors.events import Event, Sample, StateChange, Tick, Truth
from sensors.recording import Recording, RecordingError, RecordingWriter
from sensors.sensor import SensorInfo

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]

_S = 10**9
_NAMES = ("imu", "depth", "radar")

Fold = Callable[[Iterable[Event], Sink], None]


@pytest.fixture
def fold(spec: ModelSpec, tiny_bundle: Bundle, infos: Dict[str, SensorInfo]) -> Fold:
    """Recognises events, with a sink."""

    def fold(events: Iterable[Event], sink: Sink) -> None:
        aligner = Aligner(spec, {name: info.rate_hz for name, info in infos.items()})
        recognise(
            events, aligner, Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx)), infos, [sink], live=False
        )

    return fold


@pytest.fixture
def eventful(samples: Samples, by_arrival: Merge) -> List[Event]:
    """Ten seconds in which sensors begin, stall, fall silent, are lost and come back, alone and all together."""
    depth = [*samples("depth", 0.4, 2.2), *samples("depth", 3.7, 5), *samples("depth", 8.5, 10)]
    radar = [*samples("radar", 0.2, 5), *samples("radar", 8.4, 10)]
    imu = [
        dataclasses.replace(item, arrival_ns=max(item.arrival_ns, round(3.1 * _S)))  # a stalled host
        if 2.3 * _S < item.arrival_ns < 3.1 * _S
        else item
        for item in [*samples("imu", 0, 5), *samples("imu", 8.6, 10)]
    ]
    states = [
        *(StateChange(name, at_ns, "ok") for name, at_ns in (("imu", 0), ("radar", _S // 5), ("depth", _S * 2 // 5))),
        StateChange("depth", round(2.8 * _S), "lost", "silent"),
        StateChange("depth", round(3.72 * _S), "ok"),
        *(StateChange(name, round(5.3 * _S), "lost", "unplugged") for name in _NAMES),
        *(StateChange(name, round(8.6 * _S), "ok") for name in _NAMES),
    ]
    truths = [Truth(_S, "walk"), Truth(4 * _S, "wave"), Truth(7 * _S, "none")]
    ticks = [Tick(ms * 10**6) for ms in range(0, 10_000, 20)]
    return by_arrival(imu, depth, radar, states, truths, ticks)


@pytest.fixture
def recording(
    tmp_path: Path, spec: ModelSpec, infos: Dict[str, SensorInfo], fold: Fold, eventful: List[Event]
) -> Recording:
    """The eventful run, recorded."""
    path = tmp_path / "run.mcap"
    with RecordingWriter(path, infos, {"windows": windows_key(spec, 300)}) as writer:
        fold(eventful, RecordingSink(writer))
    recording = Recording(path)
    assert recording.dropped == 0
    return recording


def _play(recording: Recording, **changes: Any) -> Iterable[Event]:
    arguments: Dict[str, Any] = {"names": recording.infos, "own_ticks": True, "paced": False, **changes}
    return replay(recording, **arguments)


def test_a_replay_sees_the_windows_of_the_run_bit_for_bit(recording: Recording, fold: Fold) -> None:
    windows = [message for _, message in recording.messages("/windows")]
    assert {window["late"] for window in windows} == {False, True}
    check = WindowCheck(recording)
    fold(_play(recording), check)
    assert check.same == len(windows) > 10
    assert (check.different, check.missing) == ([], {})


def test_a_replay_makes_the_predictions_of_the_run(recording: Recording, fold: Fold, tmp_path: Path) -> None:
    again = tmp_path / "again.mcap"
    with RecordingWriter(again, recording.infos) as writer:
        fold(_play(recording), RecordingSink(writer))

    def predictions(recording: Recording) -> List[Dict[str, object]]:
        timing = ("time", "latency_ms", "engine_ms")
        messages = (message for _, message in recording.messages("/predictions"))
        return [{key: value for key, value in message.items() if key not in timing} for message in messages]

    assert predictions(Recording(again)) == predictions(recording)
    assert "truth" in predictions(recording)[5]


def test_one_sample_changed_in_its_last_bit_is_noticed(recording: Recording, fold: Fold) -> None:
    def tampered() -> Iterable[Event]:
        for event in _play(recording):
            if isinstance(event, Sample) and event.sensor == "imu" and event.stamp_ns == 1_500_000_000:
                data = event.data.copy()
                data[2] = np.nextafter(data[2], np.float32(np.inf))
                event = dataclasses.replace(event, data=data)
            yield event

    check = WindowCheck(recording)
    fold(tampered(), check)
    assert check.different == [round(end_s * _S) for end_s in (1.5, 2.0)]  # (0.5, 1.5] and (1.0, 2.0]
    assert check.missing == {}


def test_a_window_that_the_replay_does_not_bring_stays_missing(recording: Recording, fold: Fold) -> None:
    check = WindowCheck(recording)
    expected = list(check.missing)
    fold((event for event in _play(recording) if getattr(event, "arrival_ns", 0) < 2 * _S), check)
    assert check.missing
    assert list(check.missing) == expected[-len(check.missing) :]


def test_what_a_killed_run_could_not_tell_of_its_last_windows_is_no_difference(
    recording: Recording, fold: Fold, eventful: List[Event], tmp_path: Path
) -> None:
    path = tmp_path / "killed.mcap"
    digests = WindowCheck(recording).missing
    with RecordingWriter(path, recording.infos, recording.metadata) as writer:
        for event in eventful:
            writer.write(event)
        for end_ns in list(digests)[:-2]:
            writer.write_json("/windows", end_ns, {"end_ns": end_ns, "digest": digests[end_ns]})
    content = path.read_bytes()
    cut = content[: content.rindex(b"\x0f" + bytes([4, *[0] * 7]))]  # before the record that ends the data
    for kept, different in (content, 2), (cut, 0):
        path.write_bytes(kept)
        check = WindowCheck(Recording(path))
        fold(_play(recording), check)
        assert check.same == len(digests) - 2
        assert (len(check.different), check.missing) == (different, {})


def test_a_damaged_recording_is_compared_up_to_the_damage(
    spec: ModelSpec, infos: Dict[str, SensorInfo], fold: Fold, eventful: List[Event], tmp_path: Path
) -> None:
    def in_two_parts() -> Iterable[Event]:
        yield from eventful[: len(eventful) // 2]
        time.sleep(0.6)  # the first part is in the file by then
        yield from eventful[len(eventful) // 2 :]

    path = tmp_path / "run.mcap"
    with RecordingWriter(path, infos, {"windows": windows_key(spec, 300)}) as writer:
        fold(in_two_parts(), RecordingSink(writer))
    whole = len(WindowCheck(Recording(path)).missing)
    content = bytearray(path.read_bytes())
    content[3 * len(content) // 4] ^= 0xFF
    path.write_bytes(content)
    check = WindowCheck(Recording(path))
    with pytest.raises(RecordingError):
        fold(_play(Recording(path)), check)
    assert 0 < check.same < whole
    assert check.different == []


def test_a_replay_leaves_out_the_sensors_that_are_not_asked_for(recording: Recording) -> None:
    events = list(_play(recording, names={"radar"}, own_ticks=False))
    assert {event.sensor for event in events if isinstance(event, (Sample, StateChange))} == {"radar"}
    assert sum(isinstance(event, Truth) for event in events) == 3


def test_a_replay_counts_the_samples_it_plays(recording: Recording) -> None:
    played = sum(isinstance(event, Sample) for event in _play(recording, names={"radar"}, own_ticks=False))
    assert played > 0
    assert {name: info.counts["samples"] for name, info in recording.infos.items() if info.counts} == {"radar": played}


def test_for_other_windows_the_clock_is_the_arrival_of_samples(recording: Recording) -> None:
    own_ns = {event.now_ns for event in recording.events() if isinstance(event, Tick)}
    assert own_ns
    events = list(_play(recording, own_ticks=False))
    ticks = [(tick.now_ns, after) for tick, after in zip(events, events[1:]) if isinstance(tick, Tick)]
    assert all(isinstance(after, Sample) and after.arrival_ns == now_ns for now_ns, after in ticks)
    assert len(ticks) == sum(isinstance(event, Sample) for event in events)


def test_windows_without_ticks_of_their_own_still_close(recording: Recording, fold: Fold) -> None:
    check = WindowCheck(recording)
    fold(_play(recording, own_ticks=False), check)
    assert check.same > 5  # those closed late may hold a little more than they did live


def test_a_run_is_the_same_only_with_the_same_windows_lateness_and_sensors(
    recording: Recording, spec: ModelSpec
) -> None:
    assert is_same_run(recording, _NAMES, windows_key(spec, 300))
    assert is_same_run(recording, _NAMES, windows_key(spec.model_copy(update={"classes": ("a", "b")}), 300))
    assert not is_same_run(recording, _NAMES, windows_key(spec.model_copy(update={"hop_s": 1.0}), 300))
    assert not is_same_run(recording, _NAMES, windows_key(spec, 200))
    assert not is_same_run(recording, ("imu", "depth"), windows_key(spec, 300))


def test_a_paced_replay_takes_the_time_that_the_run_took(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    path = tmp_path / "run.mcap"
    with RecordingWriter(path, infos) as writer:
        for sample in samples("radar", 50, 50.6):
            writer.write(sample)
    began = time.monotonic()
    assert len(list(_play(Recording(path), paced=True))) == 12
    assert time.monotonic() - began > 0.5
