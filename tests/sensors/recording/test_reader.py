"""Events come back bit for bit and in order, from whole and from cut files."""

from __future__ import annotations

import os
import struct
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mcap.reader import make_reader
from mcap.writer import Writer

from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick, Truth
from cosmo_runtime.sensors.recording import Recording, RecordingError, RecordingWriter
from cosmo_runtime.sensors.sensor import SensorInfo

TIMES = st.integers(10**16, 10**16 + 3 * 10**12)  # of one run
STAMPS = st.integers(10**16, 10**16 + 10**9)  # not long after any arrival
FLOATS = st.floats(width=32)
SAMPLE_DATA = {
    "imu": hnp.arrays(np.float32, 9, elements=FLOATS),
    "radar": hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(5)), elements=FLOATS),
    "depth": hnp.arrays(np.uint16, (5, 7)),
}
RAW = st.binary(max_size=50)
TEXT = st.text(st.characters(blacklist_categories=["Cc", "Cs"]))
INFOS = {sensor: SensorInfo(sensor, "device", 10.0) for sensor in SAMPLE_DATA}
SAMPLES = st.one_of(
    [
        st.builds(Sample, st.just(sensor), STAMPS, TIMES, data, st.just(b"") if sensor == "depth" else RAW)
        for sensor, data in SAMPLE_DATA.items()
    ]
)
OTHERS = st.one_of(
    st.builds(StateChange, st.sampled_from(sorted(SAMPLE_DATA)), TIMES, st.sampled_from(["ok", "lost"]), TEXT),
    st.builds(Truth, TIMES, TEXT),
    st.builds(Tick, TIMES),
)


def assert_same(got: Event, expected: Event) -> None:
    """Equal to the last bit; only which of its many bit patterns a NaN of the IMU has is not kept."""
    assert type(got) is type(expected)
    if not isinstance(got, Sample) or not isinstance(expected, Sample):
        assert got == expected
        return
    assert (got.sensor, got.stamp_ns, got.arrival_ns, got.raw) == (
        expected.sensor,
        expected.stamp_ns,
        expected.arrival_ns,
        expected.raw,
    )
    assert (got.data.dtype, got.data.shape) == (expected.data.dtype, expected.data.shape)
    if got.sensor == "imu":
        present = ~np.isnan(expected.data)
        np.testing.assert_array_equal(np.isnan(got.data), ~present)
        assert got.data[present].tobytes() == expected.data[present].tobytes()
    else:
        assert got.data.tobytes() == expected.data.tobytes()


@settings(deadline=None)
@given(events=st.lists(st.one_of(SAMPLES, OTHERS), max_size=20))
def test_whatever_is_written_is_read_bit_for_bit_in_its_order(events: List[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.mcap"
        with RecordingWriter(path, INFOS) as writer:
            for event in events:
                writer.write(event)
        recording = Recording(path)
        read = list(recording.events())
    assert writer.failure is None
    assert not recording.cut
    assert len(read) == len(events)
    for got, expected in zip(read, events):
        assert_same(got, expected)


def test_a_run_of_several_chunks_keeps_its_order(recorded: Path, run: List[Event]) -> None:
    recording = Recording(recorded)
    for _ in range(2):  # read anew each time
        read = list(recording.events())
        assert len(read) == len(run)
        for got, expected in zip(read, run):
            assert_same(got, expected)


def test_a_folder_that_is_no_recording_is_told(recorded: Path) -> None:
    with pytest.raises(RecordingError, match=f"{recorded.parent} is a folder, .*: name one of the recordings in it"):
        Recording(recorded.parent)


def test_what_is_known_of_the_run(recorded: Path, infos: Dict[str, SensorInfo], run: List[Event]) -> None:
    recording = Recording(recorded)
    assert recording.infos == infos
    assert recording.metadata == {"command": "record"}
    assert recording.dropped == 0
    assert recording.duration_s > 2.9  # and more where the writer came late: it notes the clock as it goes


def test_infos_that_grow_while_recording_are_kept(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    intrinsics, infos["depth"].intrinsics = infos["depth"].intrinsics, {}
    with RecordingWriter(tmp_path / "run.mcap", infos):
        infos["depth"].device, infos["depth"].intrinsics = "D455 7", intrinsics
    assert Recording(tmp_path / "run.mcap").infos == infos


def test_other_messages_are_read_by_topic(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    with RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        for window in range(3):
            writer.write(Tick(window))
            writer.write_json("/predictions", 500 * window, {"activity": "sit down", "confidence": 0.1 * window})
    recording = Recording(tmp_path / "run.mcap")
    expected = [(500 * window, {"activity": "sit down", "confidence": 0.1 * window}) for window in range(3)]
    assert list(recording.messages("/predictions")) == expected
    assert list(recording.messages("/windows")) == []
    assert list(recording.events()) == [Tick(0), Tick(1), Tick(2)]


def test_a_cut_file_is_read_to_its_last_whole_chunk(recorded: Path, run: List[Event]) -> None:
    whole = recorded.read_bytes()
    with recorded.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    chunk_ends = [chunk.chunk_start_offset + chunk.chunk_length for chunk in summary.chunk_indexes]
    assert len(chunk_ends) >= 3
    kept = []
    for chunk_end in chunk_ends:
        for size in (chunk_end - 1, chunk_end, chunk_end + 1):
            recorded.write_bytes(whole[:size])
            recording = Recording(recorded)
            read = list(recording.events())
            assert recording.cut
            for got, expected in zip(read, run):
                assert_same(got, expected)
            kept.append(len(read))
    assert kept == sorted(kept)
    assert kept[0] == 0 < kept[1] == kept[2] == kept[3] < kept[4]
    assert kept[-1] == len(run)


@settings(deadline=None, max_examples=50)
@example(share=0.0065, zeros=15)  # zeros within a metadata record
@given(share=st.floats(0, 1), zeros=st.integers(0, 40))
def test_a_file_cut_anywhere_is_read_or_refused(
    recorded_once: Path, run: List[Event], share: float, zeros: int
) -> None:
    whole = recorded_once.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.mcap"
        path.write_bytes(whole[: int(share * len(whole))] + bytes(zeros))
        try:
            read = list(Recording(path).events())
        except RecordingError:
            assert share < 0.1  # within the head
            return
    for got, expected in zip(read, run):
        assert_same(got, expected)


def test_a_file_that_lost_power_may_end_in_zeros(recorded: Path) -> None:
    size = recorded.stat().st_size
    os.truncate(recorded, size // 2)
    expected = len(list(Recording(recorded).events()))
    os.truncate(recorded, size // 2 + 2**32)  # a sparse file: zeros that take no room, and ages to read
    recording = Recording(recorded)
    assert recording.cut
    assert len(list(recording.events())) == expected > 0


def test_a_hole_in_a_file_that_was_finished_is_no_cut(recorded: Path, run: List[Event]) -> None:
    with recorded.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    offset = summary.chunk_indexes[1].chunk_start_offset
    content = recorded.read_bytes()
    before = content[:offset]
    for hole in (bytes(1000), b"\xff" * 1000):
        recorded.write_bytes(before + hole + content[offset:])
        recording, read = Recording(recorded), []
        with pytest.raises(RecordingError, match=f"run.mcap is damaged at byte {offset}"):
            for event in recording.events():
                read.append(event)
        assert not recording.cut and 0 < len(read) < len(run)
        for got, expected in zip(read, run):
            assert_same(got, expected)


def test_a_damaged_chunk_is_reported_where_it_stands(recorded: Path, run: List[Event]) -> None:
    with recorded.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    offset = summary.chunk_indexes[1].chunk_start_offset
    content = bytearray(recorded.read_bytes())
    content[offset + 200] ^= 0x10
    recorded.write_bytes(content)
    read = []
    with pytest.raises(RecordingError, match=f"run.mcap is damaged at byte {offset}"):
        read.extend(Recording(recorded).events())


@pytest.mark.parametrize("length", [4, 15])
def test_a_chunk_too_short_for_its_times_is_reported(recorded: Path, length: int) -> None:
    with recorded.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    offset = summary.chunk_indexes[1].chunk_start_offset
    chunk = struct.pack("<BQ", 6, length) + bytes(length)
    for rest in (b"", bytes(100)):
        recorded.write_bytes(recorded.read_bytes()[:offset] + chunk + rest)
        with pytest.raises(RecordingError, match=f"run.mcap is damaged at byte {offset}"):
            Recording(recorded)


@pytest.mark.parametrize("content", [b"", b"time,x,y\n1,2,3\n", b"\x89MCAP"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.mcap"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"run.mcap is not an MCAP file"):
        Recording(path)


def test_a_recording_by_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "robot.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("robot", {"format": "1"})
        writer.finish()
    with pytest.raises(RecordingError, match=r"robot.mcap is not a recording of cosmo-runtime"):
        Recording(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        writer.add_metadata("cosmo-runtime", {"format": "3"})
        writer.finish()
    with pytest.raises(RecordingError, match=r"run.mcap has version '3' of the recording format"):
        Recording(path)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"run.mcap cannot be read: No such file"):
        Recording(tmp_path / "run.mcap")


def test_without_raw_bytes_events_are_the_same_otherwise(recorded: Path, run: List[Event]) -> None:
    events = list(Recording(recorded).events(raw=False))
    assert len(events) == len(run)
    for got, expected in zip(events, run):
        assert_same(got, replace(expected, raw=b"") if isinstance(expected, Sample) else expected)


def test_messages_aside_come_in_their_place_between_the_events(tmp_path: Path, infos: Dict[str, SensorInfo]) -> None:
    with RecordingWriter(tmp_path / "run.mcap", infos) as writer:
        for number in range(3):
            writer.write(Tick(number))
            writer.write_json("/notes", number, {"number": number})
    came: List[object] = []
    for event in Recording(tmp_path / "run.mcap").events(aside={"/notes": lambda note: came.append(note["number"])}):
        came.append(event)
    assert came == [Tick(0), 0, Tick(1), 1, Tick(2), 2]


def test_it_says_when_it_began_by_the_wall_clock(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a.mcap", {})
    writer.write(Tick(time.monotonic_ns()))
    now_s = time.time()
    writer.close()
    began = datetime.fromisoformat(Recording(tmp_path / "a.mcap").began)
    assert began.timestamp() == pytest.approx(now_s, abs=1)
    assert began.utcoffset() == timedelta(0)
