from __future__ import annotations

import shutil
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, Dict, List

import numpy as np
import pytest

from cosmo_runtime.runtime.alarms.clips import ClipConfig, ClipRing
from cosmo_runtime.runtime.episodes.log import EpisodeLog
from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import Recording
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.full_disk import small_disk

Samples = Callable[..., List[Sample]]

_S = 10**9


def _local_time(at_ns: int) -> datetime:
    return datetime(2026, 11, 28) + timedelta(seconds=at_ns / 1e9)


@pytest.fixture(scope="module")
def stream(samples: Samples, by_arrival: Callable[..., List[Event]]) -> List[Event]:
    """Two minutes of an IMU and a camera."""
    beginning = [StateChange("imu", 0, "ok"), StateChange("depth", 0, "ok"), Truth(0, "walk")]
    return [*beginning, *by_arrival(samples("imu", 0, 120), samples("depth", 0, 120), [Truth(70 * _S, "fall")])]


def _ring(folder: Path, infos: Dict[str, SensorInfo], **config: float) -> ClipRing:
    return ClipRing(folder / "clips", infos, ClipConfig(**config), _local_time, {"source": "test"})


def _end(ring: ClipRing, path: Path, at_s: float) -> Recording:
    """Lets time go on, as a run does, until the clip is whole."""
    end = time.monotonic() + 60
    while not path.exists() or Recording(path).cut:
        assert time.monotonic() < end
        ring.event(Tick(round(at_s * 1e9)))
        time.sleep(0.02)
    return Recording(path)


def _spans_s(recording: Recording) -> float:
    arrivals = [event.arrival_ns for event in recording.events() if isinstance(event, Sample)]
    return (arrivals[-1] - arrivals[0]) / 1e9


def _play(ring: ClipRing, events: List[Event], alarms: Dict[float, str]) -> List[str]:
    due = sorted(alarms.items())
    names = []
    for event in events:
        at_ns = event.arrival_ns if isinstance(event, Sample) else 0
        while due and at_ns >= due[0][0] * _S:
            at_s, name = due.pop(0)
            names.append(ring.request(name, round(at_s * 1e9)))
        ring.event(event)
    return names


def test_a_clip_holds_all_from_before_the_alarm_to_after_it(
    tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]
) -> None:
    ring = _ring(tmp_path, infos, before_s=30, after_s=20)
    (name,) = _play(ring, stream, {75.0: "fall"})
    assert name == "fall-20261128-000115.mcap"
    recording = _end(ring, tmp_path / "clips" / name, 120)
    kept = list(recording.events())
    expected = [e for e in stream if isinstance(e, Sample) and 45 * _S <= e.arrival_ns <= 95 * _S]
    assert [(e.sensor, e.stamp_ns) for e in kept if isinstance(e, Sample)] == [(e.sensor, e.stamp_ns) for e in expected]
    assert [(e.sensor, e.state) for e in kept if isinstance(e, StateChange)] == [("imu", "ok"), ("depth", "ok")]
    assert [e.activity for e in kept if isinstance(e, Truth)] == ["walk", "fall"]
    left = datetime.fromisoformat(recording.metadata["expires"]) - datetime.now(timezone.utc)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    assert recording.metadata == {"alarm": "fall", "source": "test", "expires": recording.metadata["expires"]}
    assert recording.dropped == 0


def test_an_activity_that_is_told_before_it_begins_does_not_cut_a_clip_short(
    tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]
) -> None:
    told = [event for event in stream if event != Truth(70 * _S, "fall")]
    for ahead_s, at_s in ((44, 46), (94, 96)):
        place = next(n for n, e in enumerate(told) if isinstance(e, Sample) and e.arrival_ns > ahead_s * _S)
        told.insert(place, Truth(at_s * _S, f"from {at_s}"))
    ring = _ring(tmp_path, infos, before_s=30, after_s=20)
    (name,) = _play(ring, told, {75.0: "fall"})
    recording = _end(ring, tmp_path / "clips" / name, 120)
    arrivals = [event.arrival_ns / _S for event in recording.events() if isinstance(event, Sample)]
    assert (arrivals[0], arrivals[-1]) == (pytest.approx(45, abs=0.1), pytest.approx(95, abs=0.1))
    kept = [(event.stamp_ns // _S, event.activity) for event in recording.events() if isinstance(event, Truth)]
    assert kept == [(45, "walk"), (46, "from 46"), (96, "from 96")]


def test_a_clip_after_a_correction_begins_with_it(
    tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]
) -> None:
    ring = _ring(tmp_path, infos, before_s=30, after_s=20)
    (name,) = _play(ring, [stream[0], Correction("imu", _S, 180_000_000), *stream[1:]], {75.0: "fall"})
    first, *rest = (e for e in _end(ring, tmp_path / "clips" / name, 120).events() if not isinstance(e, StateChange))
    assert isinstance(first, Correction)
    assert (first.sensor, first.taken_off_ns) == ("imu", 180_000_000)
    assert not any(isinstance(event, Correction) for event in rest)


def test_without_an_alarm_nothing_is_kept_and_memory_is_bounded_in_time(
    tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]
) -> None:
    ring = _ring(tmp_path, infos, before_s=10)
    held = []
    for event in stream:
        ring.event(event)
        held.append(ring.held_bytes)
    ring.close()
    assert max(held) < 1.05 * max(held[: len(held) // 4])
    assert not (tmp_path / "clips").exists()


def test_memory_is_bounded_in_bytes(tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]) -> None:
    ring = _ring(tmp_path, infos, before_s=600, most_mb=0.5)
    for event in stream:
        ring.event(event)
        assert ring.held_bytes <= 500_000


def test_ticks_alone_end_a_clip_and_let_old_events_go(
    tmp_path: Path, infos: Dict[str, SensorInfo], samples: Samples
) -> None:
    ring = _ring(tmp_path, infos, before_s=5, after_s=5)
    for sample in samples("imu", 0, 10):
        ring.event(sample)
    name = ring.request("no data", 9 * _S)
    for at_s in range(10, 30):
        ring.event(Tick(at_s * _S))
    assert _spans_s(_end(ring, tmp_path / "clips" / name, 30)) == pytest.approx(5.99, abs=0.1)


def test_another_alarm_makes_the_clip_longer(tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]) -> None:
    ring = _ring(tmp_path, infos, before_s=5, after_s=10)
    first, second = _play(ring, stream, {50.0: "fall", 57.0: "lies"})
    assert first == second == "fall-20261128-000050.mcap"
    recording = _end(ring, tmp_path / "clips" / first, 120)
    assert _spans_s(recording) == pytest.approx(22, abs=0.2)
    assert len(list((tmp_path / "clips").iterdir())) == 1


def test_an_alarm_soon_after_a_clip_has_one_with_all_from_before_it(
    tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]
) -> None:
    ring = _ring(tmp_path, infos, before_s=20, after_s=10)
    soon = next(n for n, e in enumerate(stream) if isinstance(e, Sample) and e.arrival_ns > 62 * _S)
    (first,) = _play(ring, stream[:soon], {50.0: "fall"})
    _end(ring, tmp_path / "clips" / first, 62)
    (second,) = _play(ring, stream[soon:], {65.0: "lies"})
    _end(ring, tmp_path / "clips" / second, 120)
    for name, begin_s, end_s in ((first, 30, 60), (second, 45, 75)):
        kept = [e for e in Recording(tmp_path / "clips" / name).events() if isinstance(e, Sample)]
        expected = [e for e in stream if isinstance(e, Sample) and begin_s * _S <= e.arrival_ns <= end_s * _S]
        assert [(e.sensor, e.stamp_ns) for e in kept] == [(e.sensor, e.stamp_ns) for e in expected]


def test_two_alarms_at_once_are_in_one_clip(tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]) -> None:
    ring = _ring(tmp_path, infos, before_s=5, after_s=10)
    names = {ring.request("fall", 0), ring.request("lies", 0)}
    _play(ring, stream[:300], {})
    ring.close()
    assert names == {path.name for path in (tmp_path / "clips").iterdir()}


def test_a_run_that_ends_keeps_the_clip_so_far(
    tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event]
) -> None:
    ring = _ring(tmp_path, infos, before_s=30, after_s=600)
    (name,) = _play(ring, stream, {100.0: "fall"})
    ring.close()
    recording = Recording(tmp_path / "clips" / name)
    assert not recording.cut
    assert _spans_s(recording) == pytest.approx(50, abs=0.2)


def test_a_disk_that_takes_no_clip_ends_nothing(
    tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "clips").write_text("no folder")
    ring = _ring(tmp_path, infos, before_s=5, after_s=5)
    _play(ring, stream, {50.0: "fall"})
    assert "no clip of alarm fall" in caplog.text
    (tmp_path / "clips").unlink()
    (name,) = _play(ring, stream, {51.0: "fall"})
    assert name


def test_clips_leave_room_for_the_log_of_alarms_and_say_so_once(
    tmp_path: Path, infos: Dict[str, SensorInfo], caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path, 20 * 2**20):
        log = EpisodeLog(tmp_path / "episodes", lambda _: 0)
        ring = _ring(tmp_path, infos, before_s=0, after_s=600)
        random, at_ns = np.random.default_rng(0), 0
        first = ring.request("fall", 0)
        end = time.monotonic() + 60
        while "recording stopped" not in caplog.text:
            assert time.monotonic() < end
            at_ns += _S // 100
            frame = random.integers(0, 2**16, (120, 160), dtype=np.uint16)
            ring.event(Sample("depth", at_ns, at_ns, frame))
            time.sleep(0.005)
        assert "but for the last 16 MB, which stay free for the log of alarms" in caplog.text
        assert shutil.disk_usage(tmp_path).free > 14 * 2**20
        ring.event(Tick(at_ns))  # notices it
        for _ in range(3):
            at_ns += _S
            ring.request("lies", at_ns)
            ring.event(Tick(at_ns))
        log.alarm("lies", at_ns, {"state": "raised"})
        assert log.unwritten == 0
        log.close()
        assert caplog.text.count("no clip of alarm lies, nor of those to come while this lasts") == 1
        assert [path.name for path in (tmp_path / "clips").iterdir()] == [first]
        assert _spans_s(Recording(tmp_path / "clips" / first)) > 0.5


def test_a_clip_replays(tmp_path: Path, infos: Dict[str, SensorInfo], stream: List[Event], cosmo, tiny_bundle) -> None:  # type: ignore[no-untyped-def]
    ring = _ring(tmp_path, infos, before_s=5, after_s=5)
    (name,) = _play(ring, stream, {50.0: "fall"})
    _end(ring, tmp_path / "clips" / name, 120)
    words = ["--sensors", "imu,depth", "--bundle", tiny_bundle.path, "--speed", "max", "--output", "-"]
    done = cosmo(*words, "--replay", tmp_path / "clips" / name)
    assert done.code == 0, done.err
    assert len(done.lines) >= 16
