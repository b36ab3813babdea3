"""The WitMotion parser against a real capture, and against every way to damage a stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.sensors.imu.witmotion import WitMotionParser, decode_commands, encode_command, encode_sample
from tests.sensors.imu.streams import damaged, nine_values, parse, split

_GRAVITY = 9.80665


def _stream(count: int, period_ms: int = 10, start_ms: int = 0) -> list[bytes]:
    return [encode_sample(nine_values(number), start_ms + number * period_ms) for number in range(count)]


def test_bytes_worked_out_by_hand() -> None:
    packets = bytes.fromhex("5550000101173b3be7031e 55510008fcff00f0000099 5552ff7f008001000000a6")
    (reading, *_) = parse(WitMotionParser(), [packets] * 3)
    assert reading.ticks == 86_399_999  # 23:59:59.999
    acceleration = np.array([2048, -4, -4096]) / 32768 * 16 * _GRAVITY
    angular_rate = np.radians(np.array([32767, -32768, 1]) / 32768 * 2000)
    np.testing.assert_allclose(reading.values[:6], [*acceleration, *angular_rate], rtol=1e-6)
    assert np.isnan(reading.values[6:]).all()  # absent, not zero


def test_samples_survive_the_wire_within_its_resolution_and_range() -> None:
    wild = np.array([500.0, -500, 1, 50, -50, 1, 100, -100, 1])
    readings = parse(
        WitMotionParser(), [encode_sample(nine_values(0), 0), encode_sample(wild, 10), *_stream(3, start_ms=20)]
    )
    resolution = np.repeat([16 * _GRAVITY / 32768, np.radians(2000) / 32768, 0.15], 3)
    assert (np.abs(readings[0].values - nine_values(0)) <= resolution * 0.51).all()
    full_scale = np.array([16 * _GRAVITY, -16 * _GRAVITY, 1, np.radians(2000), -np.radians(2000), 1, 100, -100, 1])
    assert (np.abs(readings[1].values - full_scale) <= resolution * 1.01).all()


def test_a_reading_comes_with_the_last_packet_of_its_group() -> None:
    parser = WitMotionParser()
    parse(parser, _stream(4))
    sample = encode_sample(nine_values(4), 40)
    assert parser.feed(sample[:-1], 100) == []
    (reading,) = parser.feed(sample[-1:], 101)
    assert (reading.ticks, reading.arrival_ns, reading.raw) == (40, 100, sample)


def test_arrival_is_that_of_the_first_byte_even_behind_garbage() -> None:
    parser = WitMotionParser()
    parse(parser, _stream(4))
    sample = encode_sample(nine_values(4), 40)
    assert parser.feed(b"\x00" * 5, 100) == []
    assert parser.feed(sample[:3], 101) == []
    (reading,) = parser.feed(sample[3:], 102)
    assert reading.arrival_ns == 101
    assert reading.raw == b"\x00" * 5 + sample


@given(split(b"".join(_stream(12)), most=40))
def test_any_split_gives_the_same_readings(chunks: list[bytes]) -> None:
    parser = WitMotionParser()
    readings = parse(parser, chunks)
    assert [reading.ticks for reading in readings] == list(range(0, 120, 10))
    assert [reading.raw for reading in readings] == _stream(12)
    assert parser.counts == {"lost_samples": 0}


@given(damaged(b"".join(_stream(15)), most_cut_off=40), st.data())
def test_damage_never_raises_and_is_left_behind(before: bytes, data: st.DataObject) -> None:
    whole = before + b"".join(_stream(20, start_ms=1000))
    readings = parse(WitMotionParser(), data.draw(split(whole)))
    assert b"".join(reading.raw for reading in readings) == whole[: sum(len(reading.raw) for reading in readings)]
    assert [reading.ticks for reading in readings[-15:]] == list(range(1050, 1200, 10))
    for number, reading in enumerate(readings[-15:], 5):
        np.testing.assert_allclose(reading.values, nine_values(number), atol=0.08)


@given(st.lists(st.binary(max_size=200)))
def test_noise_never_raises(chunks: list[bytes]) -> None:
    parse(WitMotionParser(), chunks)


def test_a_damaged_packet_costs_its_sample_alone_and_is_counted() -> None:
    stream = _stream(20)
    for number, packet in [(5, 0), (8, 1), (11, 2), (14, 3)]:
        damaged = bytearray(stream[number])
        damaged[packet * 11 + 6] ^= 0x20
        stream[number] = bytes(damaged)
    parser = WitMotionParser()
    readings = parse(parser, stream)
    assert [reading.ticks for reading in readings] == [n * 10 for n in range(20) if n not in (5, 8, 11, 14)]
    assert not np.isnan([reading.values for reading in readings]).any()
    assert parser.counts["bad_checksums"] == 4
    assert parser.counts["skipped_bytes"] == 44
    assert parser.counts["lost_samples"] == parser.counts["incomplete_samples"] == 4


def test_the_same_packet_damaged_twice_in_a_row_is_not_taken_for_a_new_output_set() -> None:
    stream = _stream(20)
    for number in (5, 6):
        stream[number] = stream[number][:22] + b"\xff" + stream[number][23:]  # the angular rate
    readings = parse(WitMotionParser(), stream)
    assert [reading.ticks for reading in readings] == [n * 10 for n in range(20) if n not in (5, 6)]
    assert not np.isnan([reading.values for reading in readings]).any()


def test_losses_show_in_the_clock_and_not_at_midnight_or_when_it_is_set() -> None:
    stream = _stream(20, start_ms=86_399_900)
    del stream[12:15]
    parser = WitMotionParser()
    readings = parse(parser, stream + _stream(5, start_ms=3_600_000))
    assert len(readings) == 22
    assert parser.counts["lost_samples"] == 3


def test_without_a_clock_the_incomplete_samples_are_the_lost_ones() -> None:
    stream = [encode_sample(nine_values(number), None) for number in range(20)]
    stream[5] = stream[5][:11] + b"\xff" + stream[5][12:]
    parser = WitMotionParser()
    readings = parse(parser, stream)
    assert len(readings) == 19
    assert {reading.ticks for reading in readings} == {None}
    assert parser.counts["lost_samples"] == 1


@pytest.mark.parametrize("start", range(1, 44))
def test_a_stream_joined_in_the_middle_gives_whole_samples_only(start: int) -> None:
    parser = WitMotionParser()
    readings = parse(parser, [b"".join(_stream(6))[start:]])
    first = 10 if start <= 33 else 20  # the group behind a torn packet may lack one, so the next two must agree
    assert [reading.ticks for reading in readings] == list(range(first, 60, 10))
    assert not np.isnan([reading.values for reading in readings]).any()
    assert parser.counts["incomplete_samples"] == parser.counts["lost_samples"] == 0


def test_a_changed_output_set_is_learned() -> None:
    without_field = [encode_sample(np.where(np.arange(9) < 6, nine_values(n), np.nan), n * 10) for n in range(10)]
    with_field = _stream(10, start_ms=100)
    parser = WitMotionParser()
    readings = parse(parser, [*without_field, *with_field, *_stream(10, start_ms=200)])
    assert [reading.ticks for reading in readings] == list(range(0, 300, 10))
    assert np.isnan(readings[9].values[6:]).all()
    assert not np.isnan([reading.values for reading in readings[15:]]).any()
    readings = parse(
        parser, [encode_sample(np.where(np.arange(9) < 6, nine_values(0), np.nan), 300 + n) for n in range(9)]
    )
    assert len(readings) == 9


def test_other_packets_do_not_disturb() -> None:
    def packet(kind: int) -> bytes:
        body = bytes([0x55, kind]) + bytes(range(8))
        return body + bytes([sum(body) & 0xFF])

    angles = [
        sample[:33] + packet(0x53) + sample[33:] + packet(0x59) * (number % 3 == 0)
        for number, sample in enumerate(_stream(12))
    ]
    angles[7] = packet(0x5F) + angles[7][:22] + packet(0x5F) + angles[7][22:]  # answers to a command
    parser = WitMotionParser()
    readings = parse(parser, angles)
    assert [reading.ticks for reading in readings] == list(range(0, 120, 10))
    assert parser.counts == {"lost_samples": 0}


def test_a_time_that_does_not_exist_is_absent() -> None:
    body = bytes.fromhex("55500001011800000000")  # 24:00
    packet = body + bytes([sum(body) & 0xFF])
    (reading, *_) = parse(WitMotionParser(), [packet + sample[11:] for sample in _stream(3)])
    assert reading.ticks is None


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 65535))), st.binary(max_size=1))
def test_commands_are_understood_as_sent(commands: list[tuple[int, int]], noise: bytes) -> None:
    sent = noise.replace(b"\xff", b"") + b"".join(encode_command(*command) for command in commands)
    assert decode_commands(sent) == commands


def test_the_configuration_is_the_manuals() -> None:
    commands, baud = WitMotionParser.configuration(100, 115200)
    assert [command.hex() for command in commands] == ["ffaa6988b5", "ffaa021700", "ffaa030900"]
    assert baud == 115200


@pytest.mark.parametrize(("rate_hz", "expected"), [(10, 9600), (20, 9600), (50, 115200), (200, 115200)])
def test_the_line_is_made_as_fast_as_the_rate_needs(rate_hz: int, expected: int) -> None:
    commands, baud = WitMotionParser.configuration(rate_hz, 9600)
    assert baud == expected
    assert (commands[-1] == bytes.fromhex("ffaa040600")) == (expected == 115200)


def test_real_capture(data_dir: Path) -> None:
    data = (data_dir / "captures/witmotion_wt901_first_half.bin").read_bytes()
    packets = np.frombuffer(data, np.uint8).reshape(-1, 11)  # the capture is whole packets throughout
    assert (packets[:, :10].sum(axis=1) % 256 == packets[:, 10]).all()
    counts = {kind: int((packets[:, 1] == kind).sum()) for kind in (0x51, 0x52, 0x53, 0x54)}
    assert counts == dict.fromkeys((0x51, 0x52, 0x53, 0x54), 1009)

    for size in (1, 37, len(data)):
        parser = WitMotionParser()
        readings = parse(parser, [data[at : at + size] for at in range(0, len(data), size)])
        assert len(readings) == 1009
        assert b"".join(reading.raw for reading in readings) == data
        assert parser.counts == {}
    values = np.array([reading.values for reading in readings])
    words = packets[packets[:, 1] == 0x51][:, 2:8].copy().view("<i2")
    np.testing.assert_allclose(values[:, :3], words * (16 * _GRAVITY / 32768), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(values[:, :3], axis=1), _GRAVITY, rtol=0.1)  # lying still
    assert readings[0].ticks is None


def test_packets_without_measurements_are_named() -> None:
    parser = WitMotionParser()
    angle = bytes.fromhex("5553000000000000 0000a8")
    assert parse(parser, [angle] * 2) == []
    assert parser.unusable() == ""  # noise may look like one or two
    assert parse(parser, [angle] * 8) == []
    assert "packets of type 0x53, but neither acceleration (0x51) nor angular rate (0x52)" in parser.unusable()
    parse(parser, _stream(2))
    assert parser.unusable() == ""
