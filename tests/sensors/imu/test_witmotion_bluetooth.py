"""The parser of WitMotion's Bluetooth frames, which have no checksum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.sensors.imu.witmotion_bluetooth import WitMotionBluetoothParser
from cosmo_runtime.sensors.sensor import SensorError
from tests.sensors.imu.streams import bluetooth_frame, damaged, nine_values, parse, split

_GRAVITY = 9.80665
_RESOLUTION = np.repeat([16 * _GRAVITY / 32768, np.radians(2000) / 32768], 3) * 0.51


def _stream(count: int, start: int = 0) -> list[bytes]:
    return [bluetooth_frame(nine_values(number)) for number in range(start, start + count)]


def test_bytes_worked_out_by_hand() -> None:
    frame = bytes.fromhex("5561 0008fcff00f0 ff7f00800100 0040 00c0 0001")
    first, *_ = parse(WitMotionBluetoothParser(), [frame] * 3)
    acceleration = np.array([2048, -4, -4096]) / 32768 * 16 * _GRAVITY
    angular_rate = np.radians(np.array([32767, -32768, 1]) / 32768 * 2000)
    np.testing.assert_allclose(first.values[:6], [*acceleration, *angular_rate], rtol=1e-6)
    assert np.isnan(first.values[6:]).all()  # absent, not zero
    assert first.ticks is None


@given(split(b"".join(_stream(12)), most=60))
def test_any_split_gives_the_same_readings(chunks: list[bytes]) -> None:
    parser = WitMotionBluetoothParser()
    readings = parse(parser, chunks)
    assert [reading.raw for reading in readings] == _stream(12)
    for number, reading in enumerate(readings):
        assert (np.abs(reading.values[:6] - nine_values(number)[:6]) <= _RESOLUTION).all()
    assert parser.counts == {}


def test_a_reading_comes_with_the_last_byte_of_its_frame() -> None:
    parser = WitMotionBluetoothParser()
    assert len(parse(parser, _stream(4))) == 4
    frame = bluetooth_frame(nine_values(4))
    assert parser.feed(frame[:-1], 100) == []
    (reading,) = parser.feed(frame[-1:], 101)
    assert (reading.arrival_ns, reading.raw) == (100, frame)


@pytest.mark.parametrize("start", range(1, 20))
def test_a_stream_joined_in_the_middle_gives_whole_frames_only(start: int) -> None:
    parser = WitMotionBluetoothParser()
    readings = parse(parser, [b"".join(_stream(6))[start:]])
    assert [reading.raw[-20:] for reading in readings] == _stream(5, start=1)
    assert parser.counts == {"skipped_bytes": 20 - start}


@pytest.mark.parametrize("lost", range(1, 19))
def test_a_frame_that_lost_bytes_is_dropped(lost: int) -> None:
    stream = _stream(20)
    stream[7] = stream[7][:-lost]
    parser = WitMotionBluetoothParser()
    readings = parse(parser, [b"".join(stream)])
    assert [reading.raw[-20:] for reading in readings] == stream[:7] + stream[8:]
    assert parser.counts["skipped_bytes"] == 20 - lost


@given(damaged(b"".join(_stream(15)), most_cut_off=20), st.data())
def test_damage_never_raises_and_is_left_behind(before: bytes, data: st.DataObject) -> None:
    whole = before + b"".join(_stream(20, start=100))
    readings = parse(WitMotionBluetoothParser(), data.draw(split(whole)))
    assert [reading.raw for reading in readings[-12:]] == _stream(12, start=108)
    assert b"".join(reading.raw for reading in readings) == whole


@given(st.lists(st.binary(max_size=200)))
def test_noise_never_raises(chunks: list[bytes]) -> None:
    parse(WitMotionBluetoothParser(), chunks)


def test_answers_and_words_of_the_bridge_between_frames_are_passed_over() -> None:
    stream = _stream(12)
    answer = bytes.fromhex("55713a00") + bytes(16)
    chunks = [b"OK+CONN\r\n", *stream[:6], answer, *stream[6:9], b"OK\r\n", *stream[9:]]
    readings = parse(WitMotionBluetoothParser(), [b"".join(chunks)])
    expected = stream[:8] + stream[9:]  # what a frame is followed by tells whether it is whole
    assert [reading.raw[-20:] for reading in readings] == expected


def test_a_header_within_a_measurement_is_not_taken_for_one_for_long() -> None:
    lying = np.array([0, 0, 9.81, 0, 0, 0])
    frames = [bluetooth_frame(lying, yaw=0x6155) for _ in range(5)]  # the heading reads as a header
    frames += [bluetooth_frame(lying, yaw=0x6155 + turn) for turn in range(1, 9)]
    readings = parse(WitMotionBluetoothParser(), [b"".join(frames)[1:]])
    assert [reading.raw[-20:] for reading in readings[-7:]] == frames[-7:]


def test_the_configuration_is_the_manuals() -> None:
    commands, baud = WitMotionBluetoothParser.configuration(100, 115200)
    assert [command.hex() for command in commands] == ["ffaa6988b5", "ffaa030900"]
    assert baud == 115200
    with pytest.raises(SensorError, match="200 Hz needs 40000 baud, but the bridge is set to 9600"):
        WitMotionBluetoothParser.configuration(200, 9600)
