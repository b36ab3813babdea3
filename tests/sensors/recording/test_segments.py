from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, List

import numpy as np
import pytest

from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Truth
from cosmo_runtime.sensors.recording import (
    Recording,
    RecordingError,
    RecordingWriter,
    SegmentedWriter,
    segmented_writer,
    segments,
)
from cosmo_runtime.sensors.recording.segments import delete_recording, recordings_below, segments_of
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.full_disk import full_at

_S = 10**9


def _infos() -> dict:
    return {"imu": SensorInfo("imu", "an IMU", 100)}


def _stream(seconds: int) -> List[Event]:
    """From now on, as a run's clock would say."""
    now_ns = time.monotonic_ns()
    events: List[Event] = [StateChange("imu", now_ns, "ok"), Truth(now_ns, "walk")]
    for number in range(100 * seconds):
        at_ns = now_ns + number * 10**7
        events.append(Sample("imu", at_ns, at_ns + 10**6, np.full(9, number, np.float32), b"\x01\x02"))
        if number == 250:
            events += [StateChange("imu", at_ns + 2 * 10**6, "lost", "unplugged"), Truth(at_ns, "fall")]
        if number == 260:
            events.append(StateChange("imu", at_ns + 2 * 10**6, "ok"))
    return events


def _write(writer: SegmentedWriter, events: List[Event]) -> None:
    """As fast as segments are opened: at most one waits to be."""
    with writer:
        for event in events:
            writer.write(event)
            while writer._opening and writer._opening.is_alive():
                time.sleep(0.001)


def _told(events: List[Event]) -> List[object]:
    return [
        (event.sensor, event.stamp_ns, event.arrival_ns, event.data.tobytes(), event.raw)
        if isinstance(event, Sample)
        else event
        for event in events
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_a_folder_of_segments_brings_the_events_of_one_file(folder: Path, tmp_path: Path) -> None:
    events = _stream(10)
    _write(SegmentedWriter(folder, _infos(), {"source": "test"}, segment_s=2), events)
    with RecordingWriter(tmp_path / "one.mcap", _infos(), {"source": "test"}) as writer:
        for event in events:
            writer.write(event)
    parts = segments_of(folder)
    assert len(parts) == 5
    whole, one = Recording(folder), Recording(tmp_path / "one.mcap")
    assert _told(list(whole.events())) == _told(list(one.events())) == _told(events)
    assert (whole.cut, whole.dropped, whole.metadata["source"]) == (False, 0, "test")


def test_each_segment_is_a_recording_that_begins_with_the_state_of_each_sensor(folder: Path) -> None:
    _write(SegmentedWriter(folder, _infos(), segment_s=2), _stream(6))
    for number, part in enumerate(segments_of(folder)):
        recording = Recording(part)
        assert not recording.cut
        first, second, *rest = recording.events()
        assert isinstance(first, StateChange)
        assert (first.state, isinstance(second, Truth)) == ("ok", True)
        assert 150 <= sum(isinstance(event, Sample) for event in rest) <= 250, number


def test_each_segment_after_a_correction_begins_with_it_and_the_folder_tells_it_once(folder: Path) -> None:
    events = _stream(6)
    correction = Correction("imu", events[120].arrival_ns, 250_000_000)  # type: ignore[union-attr]
    events.insert(121, correction)
    _write(SegmentedWriter(folder, _infos(), segment_s=2), events)
    assert [event for event in Recording(folder).events() if isinstance(event, Correction)] == [correction]
    for part in segments_of(folder)[1:]:
        (again,) = (event for event in Recording(part).events() if isinstance(event, Correction))
        assert again.taken_off_ns == correction.taken_off_ns
        assert again.at_ns >= Recording(part).start_ns


def test_a_segment_that_begins_before_an_activity_that_is_told_already_has_the_present_one(folder: Path) -> None:
    events = _stream(6)
    at_ns = events[0].at_ns  # type: ignore[union-attr]
    told = [event for event in events if not isinstance(event, Truth)]
    walk, fall = Truth(at_ns, "walk"), Truth(at_ns + 5 * _S // 2, "fall")
    told[1:1] = [walk]
    told[180:180] = [fall]
    _write(SegmentedWriter(folder, _infos(), segment_s=2), told)
    second = Recording(segments_of(folder)[1])
    assert [event.activity for event in second.events() if isinstance(event, Truth)] == ["walk", "fall"]
    assert [event for event in Recording(folder).events() if isinstance(event, Truth)] == [walk, fall]


def test_when_the_oldest_segments_are_gone_the_rest_plays(folder: Path) -> None:
    events = _stream(6)
    _write(SegmentedWriter(folder, _infos(), segment_s=2), events)
    segments_of(folder)[0].unlink()
    left = [event for event in Recording(folder).events() if isinstance(event, Sample)]
    assert 350 <= len(left) <= 450
    assert _told(left) == _told([event for event in events if isinstance(event, Sample)][-len(left) :])


def test_messages_beside_the_events_cross_segments(folder: Path) -> None:
    writer = SegmentedWriter(folder, _infos(), segment_s=1)
    with writer:
        for number, event in enumerate(_stream(3)):
            writer.write(event)
            if number % 50 == 0:
                writer.write_json("/windows", 10**9 + number, {"number": number})
            while writer._opening and writer._opening.is_alive():
                time.sleep(0.001)
    assert [content["number"] for _, content in Recording(folder).messages("/windows")] == list(range(0, 304, 50))


def test_a_kill_loses_at_most_half_a_second(folder: Path) -> None:
    code = f"""
import os, pathlib, time, numpy
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import SegmentedWriter
from cosmo_runtime.sensors.sensor import SensorInfo
writer = SegmentedWriter(pathlib.Path({str(folder)!r}), {{"imu": SensorInfo("imu", "an IMU", 100)}}, segment_s=0.5)
began_ns = time.monotonic_ns()
for number in range(300):
    at_ns = began_ns + number * 10**7
    while time.monotonic_ns() < at_ns + 10**6:
        time.sleep(0.002)
    writer.write(Sample("imu", at_ns, at_ns + 10**6, numpy.full(9, number, numpy.float32), b""))
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60)
    assert done.returncode == -9
    recording = Recording(folder)
    assert recording.cut
    stamps = [event.stamp_ns for event in recording.events() if isinstance(event, Sample)]
    assert len(stamps) >= 150  # all but 0.5 s, and more for a busy machine
    assert np.array_equal(np.diff(stamps), np.full(len(stamps) - 1, 10**7))


def test_a_last_segment_without_its_head_is_left_out(folder: Path) -> None:
    _write(SegmentedWriter(folder, _infos(), segment_s=2), _stream(4))
    (folder / "000009-20991231T000000Z.mcap").write_bytes(b"")
    recording = Recording(folder)
    assert recording.cut
    assert sum(isinstance(event, Sample) for event in recording.events()) == 400


def _write_until(writer: SegmentedWriter, begin_s: float, end_s: float, done: Callable[[], bool]) -> None:
    """Writes an event each tenth of a second of the events' time, slowly enough for other threads to see it."""
    for tenth in range(round(10 * begin_s), round(10 * end_s)):
        if done():
            break
        at_ns = _S * tenth // 10
        noise = np.random.default_rng(tenth).bytes(2000)
        writer.write(Sample("imu", at_ns, at_ns, np.full(9, tenth, np.float32), noise))
        time.sleep(0.01)


def test_when_a_full_disk_has_room_again_the_recording_goes_on_in_a_new_segment(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tidied: List[Path] = []
    with SegmentedWriter(folder, _infos(), when_turned=tidied.append) as writer:
        writer.write(StateChange("imu", 0, "ok"))
        with full_at(30_000):
            _write_until(writer, 0, 100, lambda: writer.failure is not None)
            stopped = str(writer.failure)
            writer.write(Truth(100 * _S, "fall"))
        assert stopped.endswith("what came before is in the file; it goes on when there is room")
        _write_until(writer, 100, 109, lambda: False)
        assert writer.failure  # too early to try again
        _write_until(writer, 109, 200, lambda: writer.failure is None)
        assert 10 <= writer.still_s < 25
        _write_until(writer, 200, 202, lambda: False)
        dropped = writer.dropped
    assert writer.failure is None
    assert caplog.text.count("recording stopped") == caplog.text.count("recording goes on after") == 1
    assert len(segments_of(folder)) == len(set(tidied)) == 2
    recording = Recording(folder)
    assert recording.cut
    events = list(recording.events())
    stamps = [event.stamp_ns for event in events if isinstance(event, Sample)]
    assert stamps[-20:] == [_S * tenth // 10 for tenth in range(2000, 2020)]
    assert stamps == sorted(stamps)
    assert dropped >= 90  # all of nine seconds, and what was not in the file yet
    (first, *_) = Recording(segments_of(folder)[1]).events()
    assert isinstance(first, StateChange)
    assert [event.activity for event in events if isinstance(event, Truth)] == ["fall"]


def test_while_the_disk_is_short_of_room_no_segment_is_begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [0]
    monkeypatch.setattr(segmented_writer.shutil, "disk_usage", lambda path: SimpleNamespace(free=left[0]))
    with SegmentedWriter(folder, _infos()) as writer:
        with full_at(30_000):
            _write_until(writer, 0, 100, lambda: writer.failure is not None)
        _write_until(writer, 100, 125, lambda: False)
        assert writer.failure
        assert len(segments_of(folder)) == 1
        left[0] = 2**30
        _write_until(writer, 125, 150, lambda: writer.failure is None)
        assert writer.failure is None


def test_a_segment_goes_on_while_the_next_one_cannot_be_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with SegmentedWriter(folder, _infos(), segment_s=2) as writer:
        opens = segmented_writer.RecordingWriter

        def refuse(path: Path, *_: object) -> RecordingWriter:
            raise RecordingError("no room")

        monkeypatch.setattr(segmented_writer, "RecordingWriter", refuse)
        _write_until(writer, 0, 25, lambda: False)
        assert writer.failure is None
        assert caplog.text.count("no room") == 1  # though it was tried several times
        monkeypatch.setattr(segmented_writer, "RecordingWriter", opens)
        _write_until(writer, 25, 40, lambda: False)
    recording = Recording(folder)
    assert (recording.cut, recording.dropped) == (False, 0)
    assert sum(isinstance(event, Sample) for event in recording.events()) == 400
    assert [file.name[:6] for file in segments_of(folder)][:2] == ["000001", "000002"]


def test_a_segment_that_was_just_opened_when_another_would_be_is_used(folder: Path) -> None:
    class Ends(threading.Thread):
        """Has opened the next segment by the time that somebody asks whether it still does."""

        def is_alive(self) -> bool:
            writer._opened = writer._opened or writer._next()
            return False

    with SegmentedWriter(folder, _infos(), segment_s=2) as writer:
        writer._opening = Ends()
        writer._turn(time.monotonic_ns())
        opening = writer._opening
    assert opening is None  # of a third
    assert len(segments_of(folder)) == 2


def test_a_folder_that_is_there_is_not_written_into(folder: Path) -> None:
    folder.mkdir()
    with pytest.raises(RecordingError, match="exists already"):
        SegmentedWriter(folder, _infos())


def test_recordings_are_found_as_what_they_are(tmp_path: Path) -> None:
    for name in ("run", "below/other"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        _write(SegmentedWriter(tmp_path / name, _infos(), segment_s=1), _stream(2))
    (tmp_path / "one.mcap").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in recordings_below(tmp_path)]
    assert found == ["below/other", "one.mcap", "run"]
    assert list(recordings_below(tmp_path / "run")) == [tmp_path / "run"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_segments(folder: Path) -> None:
    """300 segments of a second's samples; with ten minutes each these were two days."""
    code = f"""
import pathlib, time, numpy, psutil
from cosmo_runtime.sensors.events import Sample
from cosmo_runtime.sensors.recording import SegmentedWriter
from cosmo_runtime.sensors.sensor import SensorInfo
def keep_two(file):
    for old in sorted(file.parent.glob("*.mcap"))[:-2]:
        old.unlink()
infos = {{"imu": SensorInfo("imu", "an IMU", 100)}}
writer = SegmentedWriter(pathlib.Path({str(folder)!r}), infos, segment_s=1, when_turned=keep_two)
now_ns = time.monotonic_ns()
for number in range(30_000):
    at_ns = now_ns + number * 10**7
    writer.write(Sample("imu", at_ns, at_ns + 10**6, numpy.full(9, number, numpy.float32)))
    while writer.queued > 200 or (writer._opening and writer._opening.is_alive()):
        time.sleep(0.001)
    if number in (10_000, 29_900):
        print(psutil.Process().memory_info().rss)
writer.close()
print(len(list(pathlib.Path({str(folder)!r}).iterdir())))
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=110, capture_output=True, text=True, check=True)
    after_100, after_299, left = map(int, done.stdout.split())
    assert after_299 - after_100 < 5e6
    assert left <= 3


def test_all_is_deleted_although_keep_deletes_a_segment_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(SegmentedWriter(tmp_path / "run", _infos(), segment_s=1), _stream(3))
    seen = segments_of(tmp_path / "run")
    seen[0].unlink()
    monkeypatch.setattr(segments, "segments_of", lambda path: seen)
    delete_recording(tmp_path / "run")
    assert not (tmp_path / "run").exists()
