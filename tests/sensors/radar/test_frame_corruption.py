"""Frames: whatever happens to bytes on a cable."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmo_runtime.sensors.radar.frames import FrameParser
from cosmo_runtime.sensors.radar.packets import MAGIC
from tests.sensors.radar.packets import (
    CHIRP,
    same,
    some_points,
    stream,
)

# Whatever happens on a cable

sizes = st.lists(st.integers(0, 12), min_size=5, max_size=9)


@given(sizes, st.lists(st.binary(max_size=60), min_size=10, max_size=10), st.randoms(use_true_random=False))
def test_every_split_gives_the_same_frames_and_counts(sizes: list[int], junk: list[bytes], random: object) -> None:
    packets = stream(sizes)
    packets[2] = packets[2][:40] + (MAGIC + junk[0] + packets[2][40:])[: len(packets[2]) - 40]
    packets[3] = packets[3][: len(packets[3]) - len(junk[1]) // 2]
    data = b"".join(noise + packet for noise, packet in zip(junk, packets))
    whole = FrameParser()
    expected = whole.feed(data, 0)
    pieces = FrameParser()
    frames = []
    at = 0
    while at < len(data):
        step = random.choice([1, 2, 3, 7, 40, 300])  # type: ignore[attr-defined]
        frames += pieces.feed(data[at : at + step], 0)
        at += step
    assert [frame.frame_number for frame in frames] == [frame.frame_number for frame in expected]
    assert all(np.array_equal(a.points, b.points, equal_nan=True) for a, b in zip(frames, expected))
    assert +pieces.counts == +whole.counts


def test_a_wrong_header_swallows_no_frame_before_a_whole_one_wherever_its_bytes_are_split() -> None:
    """A magic word in frame 12 claims bytes up to frame 15. Frame 13 lacks its last bytes, frame 14 is whole."""
    packets = stream([0, 7, 1, 2, 0, 0])
    packets[2] = packets[2][:40] + (MAGIC + bytes(5) + packets[2][40:])[: len(packets[2]) - 40]
    packets[3] = packets[3][:-9]
    data = b"".join(packets)
    for split in range(len(data)):
        parser = FrameParser()
        frames = [frame for part in (data[:split], data[split:]) for frame in parser.feed(part, 0)]
        assert [frame.frame_number for frame in frames] == [10, 11, 12, 13, 14, 15], split


@given(sizes, st.lists(st.binary(max_size=60), min_size=10, max_size=10))
def test_junk_between_frames_costs_none(sizes: list[int], junk: list[bytes]) -> None:
    data = b"".join(noise + packet for noise, packet in zip(junk, stream(sizes)))
    parser = FrameParser()
    frames = parser.feed(data, 0)
    assert all(same(frame, 10 + i, some_points(n, seed=i)) for i, (frame, n) in enumerate(zip(frames, sizes)))
    assert len(frames) == len(sizes)
    assert parser.counts["skipped_bytes"] == sum(len(noise) for noise in junk[: len(sizes)])


@settings(max_examples=300)
@given(sizes, st.data())
def test_lost_or_inserted_bytes_harm_only_the_frames_they_hit(sizes: list[int], data: st.DataObject) -> None:
    packets = stream(sizes)
    ends = np.cumsum([len(packet) for packet in packets])
    joined = b"".join(packets)
    start = data.draw(st.integers(0, int(ends[-3]) - 1), "start")
    stop = data.draw(st.integers(start, min(start + 200, int(ends[-3]))), "stop")
    inserted = data.draw(st.one_of(st.binary(max_size=40), st.just(MAGIC), st.just(MAGIC + bytes(40))), "inserted")
    parser = FrameParser()
    frames = parser.feed(joined[:start] + inserted + joined[stop:], 0)
    out = {frame.frame_number: frame for frame in frames if frame.complete}
    for i, (n, packet, end) in enumerate(zip(sizes, packets, ends)):
        if end <= start or end - len(packet) >= stop:
            assert same(out[10 + i], 10 + i, some_points(n, seed=i)), i


def test_a_damaged_header_without_tlvs_does_not_swallow_the_next_frame() -> None:
    data = b"".join(stream([0] * 5))
    frames = FrameParser().feed(data[:15] + b"\0" + data[49:], 0)
    assert [frame.frame_number for frame in frames if frame.complete][-4:] == [11, 12, 13, 14]


@settings(max_examples=200)
@given(sizes, st.data())
def test_a_magic_word_in_the_data_does_no_lasting_harm(sizes: list[int], data: st.DataObject) -> None:
    packets = stream([n + 3 for n in sizes])
    hit = data.draw(st.integers(0, len(packets) - 3))
    at = data.draw(st.integers(48, len(packets[hit]) - 40))
    header = packets[hit][: data.draw(st.sampled_from([8, 12, 20, 40]))]  # ever more like a real header
    packets[hit] = packets[hit][:at] + header + packets[hit][at + len(header) :]
    frames = FrameParser().feed(b"".join(packets), 0)
    out = [frame.frame_number for frame in frames if frame.complete]
    assert [number for number in out if number != 10 + hit] == [10 + i for i in range(len(packets)) if i != hit]


@settings(max_examples=200)
@given(st.binary(max_size=3000), st.integers(0, 2**32))
def test_no_bytes_raise_or_pile_up(data: bytes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.frombuffer(data + b"".join(stream([5, 0, 9, 40]) * 3), np.uint8).copy()
    hit = rng.random(len(values)) < rng.choice([0.001, 0.01, 0.1, 1])
    values[hit] = rng.integers(0, 256, hit.sum())
    parser = FrameParser(chirp=CHIRP)
    for at in range(0, len(values), 100):
        for frame in parser.feed(values[at : at + 100].tobytes(), at):
            assert np.isfinite(frame.points[:, :4]).all()
            assert frame.points.dtype == np.float32
    assert len(parser._packets._buffer) <= 65536
    assert len(parser._packets._chunks) <= len(parser._packets._buffer) + 1


@pytest.mark.parametrize("piece", [1, 5, 1000])
@pytest.mark.parametrize("lie", [1, 4, 8, 12, 16, 28, 60])
def test_a_header_may_lie_by_any_length(lie: int, piece: int) -> None:
    packets = [packet[:12] + struct.pack("<I", len(packet) + lie) + packet[16:] for packet in stream([3, 4, 5, 6, 7])]
    data = b"".join(packets) + bytes(lie)
    parser = FrameParser()
    frames = [frame for at in range(0, len(data), piece) for frame in parser.feed(data[at : at + piece], at)]
    assert [(frame.frame_number, len(frame.points)) for frame in frames] == [(10 + i, 3 + i) for i in range(5)]


def test_a_claim_of_a_huge_packet_waits_for_no_more_than_the_next_one() -> None:
    packets = stream([5] * 6)
    packets[2] = packets[2][:12] + struct.pack("<I", 60_000) + packets[2][16:]
    frames = FrameParser().feed(b"".join(packets), 0)
    assert [frame.frame_number for frame in frames if frame.complete] == [10, 11, 13, 14, 15]
    assert [frame.frame_number for frame in frames if not frame.complete] == [12]


def test_a_first_packet_with_a_corrupt_header_hides_none_of_the_next() -> None:
    packets = stream([5] * 6)
    packets[0] = MAGIC + struct.pack("<I", 77) + struct.pack("<I", 60_000) + packets[0][16:]
    frames = FrameParser().feed(b"".join(packets), 0)
    assert [frame.frame_number for frame in frames if frame.complete] == [11, 12, 13, 14, 15]


@pytest.mark.parametrize("piece", [7, 10_000])
def test_a_claim_over_many_magic_words_is_not_waited_for(piece: int) -> None:
    claim = MAGIC + struct.pack("<8I", 77, 60_000, 78, 2, 3, 4, 5, 6)
    data = claim + MAGIC * 40 + b"".join(stream([5] * 4))
    parser = FrameParser()
    frames = [frame for at in range(0, len(data), piece) for frame in parser.feed(data[at : at + piece], at)]
    assert [frame.frame_number for frame in frames if frame.complete] == [10, 11, 12, 13]


def test_noise_fills_no_memory() -> None:
    parser = FrameParser(chirp=CHIRP)
    rng = np.random.default_rng(0)
    lie = MAGIC + struct.pack("<8I", 1, 65536, 2, 3, 4, 5, 6, 7)
    for i in range(300):
        parser.feed(lie + rng.bytes(4000), i)
    assert len(parser._packets._buffer) <= 65536 + 4040
    assert len(parser.counts) < 20
