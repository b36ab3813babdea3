"""A run is recorded as it would be live, and played back."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List

import numpy as np
import pytest

from cosmo_runtime.models.bundle import Bundle
from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.onnxruntime import OnnxRuntimeEngine
from cosmo_runtime.runtime.recognition.loop import Sink, recognise
from cosmo_runtime.runtime.recognition.recognizer import Recognizer
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.sources.replay import WindowCheck, is_same_run, replay, windows_key
from cosmo_runtime.runtime.windows.aligner import Aligner
from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingError, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.sensors.recording.flushed import wait_until_flushed

Samples = Callable[..., List[Sample]]
Merge = Callable[..., List[Event]]

_S = 10**9
_NAMES = ("imu", "depth", "radar")

Fold = Callable[[Iterable[Event], Sink], None]
Checking = Callable[[Recording], WindowCheck]


@pytest.fixture
def fold(spec: ModelSpec, tiny_bundle: Bundle, infos: Dict[str, SensorInfo]) -> Fold:
    """Recognises events, with a sink."""

    def fold(events: Iterable[Event], sink: Sink) -> None:
        aligner = Aligner(spec, infos)
        recognise(
            events, aligner, Recognizer(tiny_bundle, OnnxRuntimeEngine(tiny_bundle.onnx)), infos, [sink], live=False
        )

    return fold


@pytest.fixture
def checking(spec: ModelSpec) -> Checking:
    """Makes the check of a recording's windows."""
    return lambda recording: WindowCheck(recording, Aligner(spec, recording.infos, raw=True))


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


def _digests(recording: Recording) -> Dict[int, str]:
    return {message["end_ns"]: message["features"] for _, message in recording.messages("/windows")}


def test_a_replay_sees_the_windows_of_the_run_bit_for_bit(recording: Recording, fold: Fold, checking: Checking) -> None:
    windows = [message for _, message in recording.messages("/windows")]
    assert {window["late"] for window in windows} == {False, True}
    check = checking(recording)
    fold(_play(recording, check=check), check)
    assert check.same == len(windows) > 10
    assert (check.different, check.missing) == ([], {})


def test_a_recording_of_an_earlier_version_is_compared_by_its_windows_of_raw_pictures(
    recording: Recording, fold: Fold, spec: ModelSpec, checking: Checking, tmp_path: Path
) -> None:
    raw_aligner = Aligner(spec, recording.infos, raw=True)
    with RecordingWriter(tmp_path / "earlier.mcap", recording.infos, recording.metadata) as writer:
        for event in recording.events():
            writer.write(event)
            for window in raw_aligner.feed(event):
                writer.write_json("/windows", window.end_ns, {"end_ns": window.end_ns, "digest": window.digest()})
    earlier = Recording(writer.path)
    check, tampered = checking(earlier), checking(earlier)
    fold(_play(earlier, check=check), check)
    assert (check.same, check.different, check.missing) == (len(list(recording.messages("/windows"))), [], {})
    fold(
        (event for event in _play(earlier, check=tampered) if getattr(event, "stamp_ns", 0) != 1_600_000_000), tampered
    )
    assert tampered.different[0] == 2 * _S


def test_a_replay_makes_the_predictions_of_the_run(recording: Recording, fold: Fold, tmp_path: Path) -> None:
    again = tmp_path / "again.mcap"
    with RecordingWriter(again, recording.infos) as writer:
        fold(_play(recording), RecordingSink(writer))

    def predictions(recording: Recording) -> List[Dict[str, object]]:
        timing = ("time", "latency_ms", "engine_ms")
        messages = (message for _, message in recording.messages("/predictions/details"))
        return [{key: value for key, value in message.items() if key not in timing} for message in messages]

    assert predictions(Recording(again)) == predictions(recording)
    assert "truth" in predictions(recording)[5]


def test_one_sample_changed_in_its_last_bit_is_noticed(recording: Recording, fold: Fold, checking: Checking) -> None:
    check = checking(recording)

    def tampered() -> Iterable[Event]:
        for event in _play(recording, check=check):
            if isinstance(event, Sample) and event.sensor == "imu" and event.stamp_ns == 1_500_000_000:
                data = event.data.copy()
                data[2] = np.nextafter(data[2], np.float32(np.inf))
                event = dataclasses.replace(event, data=data)
            yield event

    fold(tampered(), check)
    assert check.different == [round(end_s * _S) for end_s in (1.5, 2.0)]  # (0.5, 1.5] and (1.0, 2.0]
    assert check.missing == {}


def test_a_window_that_the_replay_does_not_bring_stays_missing(
    recording: Recording, fold: Fold, checking: Checking
) -> None:
    check = checking(recording)
    expected = list(_digests(recording))
    fold((event for event in _play(recording, check=check) if getattr(event, "arrival_ns", 0) < 2 * _S), check)
    assert check.missing
    assert list(check.missing) == expected[-len(check.missing) :]


def test_what_a_killed_run_could_not_tell_of_its_last_windows_is_no_difference(
    recording: Recording, fold: Fold, eventful: List[Event], tmp_path: Path, checking: Checking
) -> None:
    path = tmp_path / "killed.mcap"
    digests = _digests(recording)
    with RecordingWriter(path, recording.infos, recording.metadata) as writer:
        for event in eventful:
            writer.write(event)
        for end_ns in list(digests)[:-2]:
            writer.write_json("/windows", end_ns, {"end_ns": end_ns, "features": digests[end_ns]})
    content = path.read_bytes()
    cut = content[: content.rindex(b"\x0f" + bytes([4, *[0] * 7]))]  # before the record that ends the data
    for kept, different in (content, 2), (cut, 0):
        path.write_bytes(kept)
        check = checking(Recording(path))
        fold(_play(Recording(path), check=check), check)
        assert check.same == len(digests) - 2
        assert (len(check.different), check.missing) == (different, {})


def test_windows_that_the_live_run_dropped_are_answered_and_not_compared(
    recording: Recording, fold: Fold, eventful: List[Event], tmp_path: Path, checking: Checking
) -> None:
    digests = _digests(recording)
    dropped = list(digests)[2:4]
    with RecordingWriter(tmp_path / "behind.mcap", recording.infos, recording.metadata) as writer:
        for event in eventful:
            writer.write(event)
        for end_ns, digest in digests.items():
            known = None if end_ns in dropped else digest
            writer.write_json("/windows", end_ns, {"end_ns": end_ns, "features": known})
    check = checking(Recording(writer.path))
    fold(_play(Recording(writer.path), check=check), check)
    assert (check.same, check.different, check.missing) == (len(digests) - 2, [], {})


def test_a_damaged_recording_is_compared_up_to_the_damage(
    spec: ModelSpec, infos: Dict[str, SensorInfo], fold: Fold, eventful: List[Event], tmp_path: Path, checking: Checking
) -> None:
    def in_two_parts() -> Iterable[Event]:
        yield from eventful[: len(eventful) // 2]
        wait_until_flushed(writer)
        sizes.append(path.stat().st_size)
        yield from eventful[len(eventful) // 2 :]

    path, sizes = tmp_path / "run.mcap", []
    with RecordingWriter(path, infos, {"windows": windows_key(spec, 300)}) as writer:
        fold(in_two_parts(), RecordingSink(writer))
    whole = len(_digests(Recording(path)))
    content = bytearray(path.read_bytes())
    content[sizes[0] + 300] ^= 0xFF  # in the chunk of the second part
    path.write_bytes(content)
    check = checking(Recording(path))
    with pytest.raises(RecordingError):
        fold(_play(Recording(path), check=check), check)
    assert 0 < check.same < whole
    assert check.different == []


@pytest.mark.parametrize("content", [{}, {"end_ns": "1", "features": "x"}, {"end_ns": 1, "features": 5}])
def test_a_window_that_no_run_writes_is_named(
    tmp_path: Path, infos: Dict[str, SensorInfo], content: Dict[str, Any], checking: Checking
) -> None:
    with RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        writer.write_json("/windows", 1, {"end_ns": 1, "features": "x"})
        writer.write_json("/windows", 2, content)
    recording = Recording(tmp_path / "run.mcap")
    with pytest.raises(RecordingError, match=r"run.mcap: message 2 on /windows: it is not a fingerprint"):
        list(_play(recording, check=checking(recording)))


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


def test_windows_without_ticks_of_their_own_still_close(recording: Recording, fold: Fold, checking: Checking) -> None:
    check = checking(recording)
    fold(_play(recording, own_ticks=False, check=check), check)
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
