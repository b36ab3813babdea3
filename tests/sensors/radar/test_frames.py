"""Frames: real captures, every dialect, and whatever can happen to bytes on a cable."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensors.radar.chirp import parse_chirp
from sensors.radar.driver import DEFAULT_CFG
from sensors.radar.frames import MAGIC, Frame, FrameParser, encode_frame

CHIRP = parse_chirp(DEFAULT_CFG.read_text().splitlines(), "default")
PERIOD_NS = round(CHIRP.frame_period_s * 1e9)


def some_points(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 3, (n, 5)).astype(np.float32)
    points[:, 4] = np.round(rng.uniform(13, 50, n), 1)
    return points


def stream(sizes: Sequence[int], first: int = 10) -> list[bytes]:
    return [encode_frame(first + i, some_points(n, seed=i)) for i, n in enumerate(sizes)]


def same(frame: Frame, number: int, points: np.ndarray) -> bool:
    return (
        frame.frame_number == number and frame.complete and np.allclose(frame.points, points, atol=1e-5, equal_nan=True)
    )


def tlv(kind: int, value: bytes, length_covers_header: bool = False) -> bytes:
    return struct.pack("<2I", kind, len(value) + 8 * length_covers_header) + value


def sdk1_packet(number: int, *tlvs: bytes, objects: int = 0) -> bytes:
    size = -(-(36 + sum(map(len, tlvs))) // 32) * 32
    header = MAGIC + struct.pack("<7I", 0x01020000, size, 0xA1443, number, 7, objects, len(tlvs))
    return (header + b"".join(tlvs)).ljust(size, b"\0")


def sdk3_packet(number: int, *tlvs: bytes, objects: int = 0) -> bytes:
    size = -(-(40 + sum(map(len, tlvs))) // 32) * 32
    header = MAGIC + struct.pack("<8I", 0x03050004, size, 0xA6843, number, 7, objects, len(tlvs), 0)
    return (header + b"".join(tlvs)).ljust(size, b"\0")


def people_packet(number: int, *tlvs: bytes) -> bytes:
    size = 48 + sum(map(len, tlvs))
    timings = [0, 1200, 3400, 5600, 7800]
    header = MAGIC + struct.pack("<9I2H", 0x03030000, size, 0xA6843, number, *timings, len(tlvs), 0xBEEF)
    return header + b"".join(tlvs)


# Real captures


@pytest.mark.parametrize("piece", [1, 13, 500, 100_000])
def test_fifty_real_frames_come_out_whole_and_in_order(data_dir: Path, piece: int) -> None:
    data = (data_dir / "captures" / "iwr6843_sdk3.3_first50frames.dat").read_bytes()
    parser = FrameParser()
    frames = [frame for at in range(0, len(data), piece) for frame in parser.feed(data[at : at + piece], at)]
    assert [frame.frame_number for frame in frames] == list(range(209, 259))
    assert all(frame.complete for frame in frames)
    assert not +parser.counts
    first = frames[0]
    assert first.points.shape == (7, 5)
    np.testing.assert_allclose(first.points[3], [1.3245, 1.9469, 0, 0, 25.5], atol=1e-3)


def test_headers_that_lie_about_their_length_cost_no_packet(data_dir: Path) -> None:
    data = (data_dir / "captures" / "xwr1642_vitalsigns_288header_256spacing.bin").read_bytes()
    starts = [at for at in range(len(data)) if data.startswith(MAGIC, at)]
    numbers = [struct.unpack_from("<I", data, at + 20)[0] for at in starts]
    parser = FrameParser()
    frames = [frame for at in range(0, len(data), 1000) for frame in parser.feed(data[at : at + 1000], at)]
    frames += parser.feed(bytes(32), len(data))  # the last one waits for what it claims
    assert [frame.frame_number for frame in frames] == numbers
    assert [frame.arrival_ns for frame in frames] == [(at + 7) // 1000 * 1000 for at in starts]
    assert parser.counts["skipped_bytes"] == 0
    assert parser.counts["lost_samples"] == numbers[-1] - numbers[0] + 1 - len(numbers)
    assert not any(frame.complete for frame in frames[:-1])  # their second TLV is cut short


# Dialects and TLVs


def test_points_survive_the_wire() -> None:
    points = some_points(20)
    (frame,) = FrameParser().feed(encode_frame(5, points), 123)
    assert same(frame, 5, points)
    assert frame.arrival_ns == 123


def test_points_without_snr_have_none() -> None:
    points = some_points(4)
    points[:, 4] = np.nan
    (frame,) = FrameParser().feed(encode_frame(5, points), 0)
    assert same(frame, 5, points)


@pytest.mark.parametrize(
    "packet",
    [
        encode_frame(1, some_points(0)),
        sdk3_packet(1, tlv(1, b""), tlv(7, b"")),
        sdk3_packet(1, tlv(6, bytes(24))),
        sdk1_packet(1),
        sdk1_packet(1, tlv(1, struct.pack("<2H", 0, 7))),
        people_packet(1),
        people_packet(1, tlv(6, bytes(20), True)),
    ],
)
def test_frames_without_points_come_out_at_once(packet: bytes) -> None:
    (frame,) = FrameParser().feed(packet, 0)
    assert frame.points.shape == (0, 5)
    assert frame.points.dtype == np.float32
    assert frame.complete


@pytest.mark.parametrize("dialect", ["auto", "sdk1"])
def test_sdk1_points_are_fixed_point_and_get_their_speed_from_the_chirp(dialect: str) -> None:
    objects = struct.pack("<2H", 2, 8) + struct.pack("<HhHhhh", 40, -3, 900, -256, 512, 128)
    objects += struct.pack("<HhHhhh", 41, CHIRP.doppler_bins - 1, 900, 1, 2, 3)
    (frame,) = FrameParser(dialect, CHIRP).feed(sdk1_packet(1, tlv(1, objects)), 0)
    bin_mps = 2 * CHIRP.max_velocity_mps / CHIRP.doppler_bins
    expected = [[-1, 2, 0.5, -3 * bin_mps, np.nan], [1 / 256, 2 / 256, 3 / 256, -bin_mps, np.nan]]
    np.testing.assert_allclose(frame.points, expected, rtol=1e-6)


def test_sdk1_points_without_a_chirp_have_no_speed() -> None:
    objects = struct.pack("<2H", 1, 8) + struct.pack("<HhHhhh", 40, -3, 900, -256, 512, 128)
    (frame,) = FrameParser().feed(sdk1_packet(1, tlv(1, objects)), 0)
    np.testing.assert_array_equal(frame.points, [[-1, 2, 0.5, np.nan, np.nan]])


def test_sdk1_points_in_a_40_byte_header_are_told_from_those_of_sdk3() -> None:
    objects = struct.pack("<2H", 1, 7) + struct.pack("<HhHhhh", 40, -3, 900, -128, 256, 64)
    assert len(objects) == 16
    (frame,) = FrameParser().feed(sdk3_packet(1, tlv(1, objects)), 0)
    np.testing.assert_array_equal(frame.points[:, :3], [[-1, 2, 0.5]])


COMPRESSED = struct.pack("<5f", 0.01, 0.01, 0.1, 0.002, 0.5) + struct.pack("<2bh2H", 50, -30, -12, 1500, 200)


@pytest.mark.parametrize("dialect", ["auto", "people"])
@pytest.mark.parametrize("kind", [6, 1020])
def test_people_counting_points_are_spherical_and_their_snr_a_ratio(dialect: str, kind: int) -> None:
    packet = people_packet(9, tlv(kind, COMPRESSED, True), tlv(7, bytes(112), True), tlv(1011, b"\0", True))
    parser = FrameParser(dialect)
    (frame,) = parser.feed(packet, 0)
    x, y, z = 3 * np.cos(0.5) * np.sin(-0.3), 3 * np.cos(0.5) * np.cos(0.3), 3 * np.sin(0.5)
    np.testing.assert_allclose(frame.points, [[x, y, z, -1.2, 20]], rtol=1e-5)
    assert not +parser.counts


def test_compressed_points_come_in_40_byte_headers_too() -> None:
    packet = sdk3_packet(9, tlv(1020, COMPRESSED), tlv(1010, bytes(112)), tlv(1012, bytes(12)))
    parser = FrameParser()
    (frame,) = parser.feed(packet, 0)
    assert np.linalg.norm(frame.points[0, :3]) == pytest.approx(3)
    assert not +parser.counts


def test_spherical_points_of_the_radar_toolbox() -> None:
    sent = struct.pack("<8f", 3, -0.3, 0.5, -1.2, 2, 0, 0, 0)
    side = struct.pack("<4h", 205, 90, 310, 90)
    (frame,) = FrameParser().feed(sdk3_packet(9, tlv(1000, sent), tlv(7, side), objects=2), 0)
    x, y, z = 3 * np.cos(0.5) * np.sin(-0.3), 3 * np.cos(0.5) * np.cos(0.3), 3 * np.sin(0.5)
    np.testing.assert_allclose(frame.points, [[x, y, z, -1.2, 20.5], [0, 2, 0, 0, 31]], rtol=1e-5)
    assert frame.complete


def test_what_is_known_and_not_wanted_is_passed_over_and_the_unknown_counted() -> None:
    others = [tlv(kind, bytes(24)) for kind in (2, 3, 4, 5, 6, 8, 9, 301, 301, 70000)]
    parser = FrameParser()
    (frame,) = parser.feed(sdk3_packet(1, tlv(1, some_points(2)[:, :4].tobytes()), *others), 0)
    assert frame.points.shape == (2, 5)
    assert +parser.counts == Counter(skipped_tlvs_301=2, skipped_tlvs_other=1)


def test_a_corrupt_first_packet_does_not_settle_the_dialect() -> None:
    parser = FrameParser()
    parser.feed(people_packet(1, tlv(6, COMPRESSED, True)), 0)
    frames = parser.feed(b"".join(stream([3, 4, 5], first=2)), 0)
    assert [len(frame.points) for frame in frames] == [3, 4, 5]
    assert all(frame.complete for frame in frames)


def test_detection_survives_a_first_packet_without_tlvs() -> None:
    parser = FrameParser(chirp=CHIRP)
    packets = (
        sdk1_packet(1),
        sdk1_packet(2, tlv(1, struct.pack("<2H", 1, 8) + struct.pack("<HhHhhh", 4, 3, 9, 1, 2, 3))),
    )
    frames = parser.feed(b"".join(packets), 0)
    assert [len(frame.points) for frame in frames] == [0, 1]


# What cannot be


@pytest.mark.parametrize("kind", [1, 1000])
def test_points_in_no_known_form_are_not_taken_for_an_empty_room(kind: int) -> None:
    parser = FrameParser()
    (frame,) = parser.feed(sdk3_packet(1, tlv(kind, bytes(range(1, 25)))), 0)
    assert not frame.complete
    assert parser.counts["malformed_tlvs"] == 1


@pytest.mark.parametrize("packet", [sdk1_packet, sdk3_packet])
def test_objects_in_unknown_tlvs_are_not_taken_for_an_empty_room(packet: Callable[..., bytes]) -> None:
    parser = FrameParser()
    (empty,) = parser.feed(packet(1, tlv(301, b""), tlv(6, bytes(24))), 0)
    assert empty.complete
    assert parser.pointless_types is None
    (frame,) = parser.feed(packet(2, tlv(301, bytes(50)), tlv(6, bytes(24)), objects=5), 0)
    assert not frame.complete
    assert parser.counts["pointless_frames"] == 1
    assert parser.pointless_types == [301, 6]


@pytest.mark.parametrize(
    ("column", "value"),
    [(0, np.nan), (1, np.inf), (2, 1e30), (0, 8.0), (3, -np.inf), (3, 40.0), (3, np.nan), (4, 3000.0)],
)
def test_points_that_the_chirp_cannot_see_are_dropped(column: int, value: float) -> None:
    points = some_points(5)
    points[2, column] = value
    parser = FrameParser(chirp=CHIRP)
    (frame,) = parser.feed(encode_frame(1, points), 0)
    np.testing.assert_allclose(frame.points[:, :4], np.delete(points, 2, axis=0)[:, :4])
    assert parser.counts["implausible_points"] == 1


def feed_at_frame_rate(parser: FrameParser, packets: Sequence[bytes]) -> list[Frame]:
    return [frame for i, packet in enumerate(packets) for frame in parser.feed(packet, i * PERIOD_NS)]


def test_missing_numbers_are_lost_samples() -> None:
    packets = stream([3] * 10)
    del packets[4:7]
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, packets)
    assert [frame.frame_number for frame in frames] == [10, 11, 12, 13, 17, 18, 19]
    assert parser.counts["lost_samples"] == 3


@pytest.mark.parametrize("number", [0, 3, 12, 1000, 2**32 - 1])
def test_a_corrupt_number_costs_one_frame(number: int) -> None:
    packets = stream([3] * 10)
    packets[4] = encode_frame(number, some_points(3))
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, packets)
    assert [frame.frame_number for frame in frames] == [10, 11, 12, 13, 15, 16, 17, 18, 19]
    assert +parser.counts == Counter(lost_samples=1, misnumbered_frames=1)


def test_a_radar_that_restarts_its_numbers_loses_no_frame() -> None:
    parser = FrameParser(chirp=CHIRP)
    frames = feed_at_frame_rate(parser, stream([3] * 4, first=5000) + stream([3] * 4, first=1))
    assert [frame.frame_number for frame in frames] == [5000, 5001, 5002, 5003, 1, 2, 3, 4]
    assert +parser.counts == Counter(renumberings=1)


def test_a_frame_is_stamped_when_its_magic_is_there_not_its_last_byte() -> None:
    packet = encode_frame(1, some_points(200))
    parser = FrameParser()
    arrivals = [
        frame.arrival_ns for at in range(0, 2 * len(packet), 5) for frame in parser.feed((packet * 2)[at : at + 5], at)
    ]
    assert arrivals[0] == 5  # bytes 5 to 9 bring the eighth of the magic


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
    assert len(parser._buffer) <= 65536
    assert len(parser._chunks) <= len(parser._buffer) + 1


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


def test_noise_fills_no_memory() -> None:
    parser = FrameParser(chirp=CHIRP)
    rng = np.random.default_rng(0)
    lie = MAGIC + struct.pack("<8I", 1, 65536, 2, 3, 4, 5, 6, 7)
    for i in range(300):
        parser.feed(lie + rng.bytes(4000), i)
    assert len(parser._buffer) <= 65536 + 4040
    assert len(parser.counts) < 20
