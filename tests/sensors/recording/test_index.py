from __future__ import annotations

import struct
from pathlib import Path
from typing import List

import numpy as np
import pytest
from mcap.opcode import Opcode
from mcap.writer import CompressionType

from cosmo_runtime.sensors.events import Event, Sample, StateChange, Tick
from cosmo_runtime.sensors.recording import Recording, RecordingError
from cosmo_runtime.sensors.recording.index import RecordingIndex
from cosmo_runtime.sensors.recording.mcap_file import read_leaps, records
from tests.sensors.recording.rewriting import rewrite


@pytest.mark.parametrize(
    "form",
    [{}, {"chunk_size": 20_000}, {"compression": CompressionType.LZ4}, {"use_chunking": False}],
    ids=["chunks", "small chunks", "lz4", "no chunks"],
)
def test_the_parts_of_a_recording_are_the_whole(recorded: Path, run: List[Event], form: dict) -> None:
    path = rewrite(recorded, recorded.with_name("other.mcap"), **form)
    index = RecordingIndex(Recording(path))
    whole = [event for event in index.recording.events() if isinstance(event, (Sample, StateChange, Tick))]
    parts = [event for part in range(len(index)) for event in index.events(part)]
    parts = [event for event in parts if isinstance(event, (Sample, StateChange, Tick))]
    assert len(parts) == len(whole)
    assert [type(event) for event in parts] == [type(event) for event in whole]
    assert {channel.topic for channel in index.channels.values()} >= {"/imu", "/depth/image", "/radar/points"}


def test_a_moment_is_found_without_the_rest(recorded: Path) -> None:
    recording = Recording(recorded)
    index = RecordingIndex(recording)
    moment_ns = recording.start_ns + round(recording.duration_s * 5e8)
    found = index.parts(moment_ns, moment_ns)
    assert len(found) <= max(2, len(index) // 2)
    for part in range(len(index)):
        samples = [event for event in index.events(part) if isinstance(event, Sample)]
        inside = any(sample.arrival_ns == moment_ns for sample in samples)
        assert part in found or not inside


def test_a_recording_that_was_cut_is_indexed_up_to_the_cut(recorded: Path) -> None:
    content = recorded.read_bytes()
    whole = len(RecordingIndex(Recording(recorded)))
    cut = recorded.with_name("cut.mcap")
    for share in 0.3, 0.6, 0.9:
        cut.write_bytes(content[: int(len(content) * share)])
        try:
            index = RecordingIndex(Recording(cut))
        except RecordingError:
            continue
        assert len(index) <= whole
        for part in range(len(index)):
            list(index.events(part))


def test_without_its_summary_a_file_is_the_same(recorded: Path) -> None:
    with recorded.open("rb") as file:
        assert len(read_leaps(file)) == len(RecordingIndex(Recording(recorded)))
        end = next(record.end for record in records(file) if record.opcode == Opcode.DATA_END)
    bare = recorded.with_name("bare.mcap")
    bare.write_bytes(recorded.read_bytes()[:end])
    with bare.open("rb") as file:
        assert read_leaps(file) == {}
    whole, other = (RecordingIndex(Recording(path)) for path in (recorded, bare))
    assert not other.recording.cut
    assert (other.begins_ns.tolist(), other.ends_ns.tolist()) == (whole.begins_ns.tolist(), whole.ends_ns.tolist())
    assert other.channels == whole.channels
    assert (whole.recording.files[0].indexed, other.recording.files[0].indexed) == (True, False)


def test_times_in_a_summary_that_are_not_those_of_the_chunks_are_not_believed(recorded: Path) -> None:
    whole, content = RecordingIndex(Recording(recorded)), bytearray(recorded.read_bytes())
    with recorded.open("rb") as file:
        (first, *_) = read_leaps(file).values()
    times = struct.pack("<QQ", first.first, first.last)
    at = content.rindex(times)  # the summary is at the end
    content[at : at + len(times)] = struct.pack("<QQ", first.first - 10**9, first.last)
    content[-12:-8] = bytes(4)  # no CRC
    recorded.write_bytes(content)
    other = RecordingIndex(Recording(recorded))
    assert not other.recording.files[0].indexed
    assert other.begins_ns.tolist() == whole.begins_ns.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_a_summary_that_lies_harms_nobody(recorded: Path, seed: int) -> None:
    content = bytearray(recorded.read_bytes())
    with recorded.open("rb") as file:
        end = next(record.end for record in records(file) if record.opcode == Opcode.DATA_END)
    random = np.random.default_rng(seed)
    for _ in range(20):
        content[random.integers(end, len(content) - 8)] = random.integers(256)
    content[-12:-8] = bytes(4)  # no CRC
    recorded.write_bytes(content)
    try:
        index = RecordingIndex(Recording(recorded))
        for part in range(len(index)):
            list(index.events(part))
    except RecordingError:
        pass
