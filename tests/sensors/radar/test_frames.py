"""Frames: real captures, every dialect, and whatever can happen to bytes on a cable."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from cosmo_runtime.sensors.radar.frames import FrameParser, encode_frame
from cosmo_runtime.sensors.radar.packets import MAGIC
from tests.sensors.radar.packets import (
    CHIRP,
    people_packet,
    same,
    sdk1_packet,
    sdk3_packet,
    some_points,
    stream,
    tlv,
)

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
    "packet",
    [
        sdk3_packet(2, tlv(1, b""), tlv(7, b""), objects=5),
        sdk3_packet(2, tlv(1000, b""), objects=5),
        sdk3_packet(2, tlv(1020, bytes(20)), objects=5),
        sdk3_packet(2, objects=5),
        sdk1_packet(2, tlv(1, struct.pack("<2H", 0, 7)), objects=5),
    ],
)
def test_counted_objects_without_a_point_are_not_taken_for_an_empty_room(packet: bytes) -> None:
    parser = FrameParser()
    (frame,) = parser.feed(packet, 0)
    assert not frame.complete
    assert +parser.counts == Counter(pointless_frames=1, cut_frames=1)


@pytest.mark.parametrize("kind", [1, 1000])
@pytest.mark.parametrize(("counted", "whole"), [(2, True), (3, True), (4, False), (2**32 - 1, False)])
def test_fewer_points_than_the_header_counts_are_not_all(kind: int, counted: int, whole: bool) -> None:
    sent = np.full((3, 4), 0.5, "<f4").tobytes()
    parser = FrameParser()
    (frame,) = parser.feed(sdk3_packet(2, tlv(kind, sent), objects=counted), 0)
    assert frame.complete == whole
    assert parser.counts["short_frames"] == (not whole)


def test_people_may_be_counted_where_points_are_compressed() -> None:
    (frame,) = FrameParser().feed(sdk3_packet(2, tlv(1020, COMPRESSED), objects=3), 0)
    assert frame.complete


def test_points_that_are_all_implausible_are_no_empty_room() -> None:
    points = some_points(3)
    points[:, 1] = 99
    parser = FrameParser(chirp=CHIRP)
    (frame,) = parser.feed(encode_frame(1, points), 0)
    assert not frame.complete
    assert +parser.counts == Counter(implausible_points=3, cut_frames=1)


@pytest.mark.parametrize("length", [4, 19, 21, 27, 3 * 16])
def test_compressed_points_with_bytes_left_over_are_in_no_known_form(length: int) -> None:
    parser = FrameParser()
    (frame,) = parser.feed(people_packet(1, tlv(6, bytes(length), True)), 0)
    assert not frame.complete
    assert parser.counts["malformed_tlvs"] == 1


@pytest.mark.parametrize("side", [bytes(8), bytes(6), bytes(16)])
def test_snr_of_another_number_of_points_is_counted_and_not_used(side: bytes) -> None:
    parser = FrameParser()
    (frame,) = parser.feed(sdk3_packet(1, tlv(1, some_points(3)[:, :4].tobytes()), tlv(7, side), objects=3), 0)
    assert frame.complete
    assert np.isnan(frame.points[:, 4]).all()
    assert parser.counts["malformed_tlvs"] == 1


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
