"""A piece of a recording can be read by itself: it begins with what stood at its beginning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from mcap.records import Message

from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick, Truth, host_ns
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.recording.offline_writer import write_events
from cosmo_runtime.sensors.recording.piece import copy_piece
from cosmo_runtime.sensors.sensor import SensorInfo
from tests.sensors.recording.rewriting import rewrite

S = 10**9


def piece_of(path: Path, start_s: float, end_s: float) -> Recording:
    recording, piece = Recording(path), path.with_name("piece.mcap")
    start_ns = recording.start_ns
    copy_piece(RecordingIndex(recording), piece, start_ns + round(start_s * S), start_ns + round(end_s * S))
    return Recording(piece)


@pytest.mark.parametrize("form", [{}, {"chunk_size": 5000}, {"use_chunking": False}], ids=["", "small", "no chunks"])
def test_a_piece_begins_with_what_stood_then(
    tmp_path: Path, infos: Dict[str, SensorInfo], run: List[Event], form: Dict[str, Any]
) -> None:
    begin_ns = host_ns(run[0])
    changes: List[Event] = [
        StateChange("radar", begin_ns + S // 2, "ok"),
        Correction("radar", begin_ns + S // 2, 120_000_000),  # replaces the one at the beginning
        StateChange("imu", begin_ns + S, "lost", "unplugged"),
        Truth(begin_ns + S, "fall"),
        Correction("radar", begin_ns + 2 * S, 90_000_000),
    ]
    events = sorted([*run, *changes], key=lambda e: e.stamp_ns if isinstance(e, Truth) else host_ns(e))
    write_events(tmp_path / "plain.mcap", events, infos, {}, 10**18)
    piece = piece_of(rewrite(tmp_path / "plain.mcap", tmp_path / "run.mcap", **form), 1.5, 2.5)
    told = list(piece.events())
    start_ns = Recording(tmp_path / "run.mcap").start_ns + 3 * S // 2
    assert told[:4] == [
        StateChange("imu", start_ns, "lost", "unplugged"),
        StateChange("radar", start_ns, "ok"),
        Correction("radar", start_ns, 120_000_000),
        Truth(start_ns, "fall"),
    ]
    assert piece.start_ns == start_ns
    assert [event for event in told if isinstance(event, Correction)][1:] == [changes[-1]]
    inside = [e for e in Recording(tmp_path / "run.mcap").events() if isinstance(e, Sample)]
    inside = [e for e in inside if start_ns <= e.arrival_ns <= start_ns + S]
    assert [e.stamp_ns for e in told if isinstance(e, Sample)] == [e.stamp_ns for e in inside]


def test_a_piece_from_the_very_beginning_says_nothing_twice(recorded: Path, run: List[Event]) -> None:
    begin_s = (host_ns(run[0]) - Recording(recorded).start_ns) / S
    told = list(piece_of(recorded, begin_s, 1).events())
    assert told[:3] == run[:3]
    assert all(isinstance(event, (Sample, Tick)) for event in told[3:])


@pytest.mark.parametrize("by_s", [-40 * 86400.0, -1.0, 3600.0])
def test_a_piece_after_the_clock_was_set_has_the_new_time(recorded: Path, by_s: float) -> None:
    by_ns = round(by_s * S)

    def set_by(topic: str, message: Message) -> Message:
        if topic == "/clock":
            reading = json.loads(message.data)
            message.data = json.dumps({**reading, "wall_ns": reading["wall_ns"] + by_ns}).encode()
        return message

    whole = Recording(rewrite(recorded, recorded.with_name("set.mcap"), set_by))
    (*_, (last_reading_ns, _)) = whole.messages("/clock")
    start_ns = last_reading_ns + 10**8
    copy_piece(RecordingIndex(whole), recorded.with_name("piece.mcap"), start_ns, start_ns + S)
    piece = Recording(recorded.with_name("piece.mcap"))
    assert piece.start_ns == start_ns
    assert piece.wall_offset_ns == pytest.approx(whole.wall_offset_ns + by_ns, abs=10**7)
    for at_ns in (start_ns - S // 10, start_ns, start_ns + S // 2):
        wall_ns = at_ns + whole.wall_offset_ns + by_ns
        assert piece.wall_ns(at_ns) == pytest.approx(wall_ns, abs=10**7)
        assert piece.host_ns(wall_ns) == pytest.approx(at_ns, abs=10**7)


def test_a_piece_of_nothing_is_refused(recorded: Path) -> None:
    with pytest.raises(RecordingError, match="holds nothing there"):
        piece_of(recorded, 50, 60)
    assert not recorded.with_name("piece.mcap").exists()
