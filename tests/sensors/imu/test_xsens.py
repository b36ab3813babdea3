"""The Xsens parser against captured messages of an MTi-300, and against every way to damage a stream."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmo_runtime.sensors.imu.stream import ByteStream
from cosmo_runtime.sensors.imu.xsens import XsensParser, encode_message, encode_sample, messages
from cosmo_runtime.sensors.sensor import SensorError
from tests.sensors.imu.streams import damaged, nine_values, parse, split


def _stream(count: int, start: int = 0) -> list[bytes]:
    return [encode_sample(nine_values(number), number, number * 100) for number in range(start, start + count)]


def test_samples_survive_the_wire() -> None:
    parser = XsensParser()
    readings = parse(parser, _stream(5))
    for number, reading in enumerate(readings):
        np.testing.assert_allclose(reading.values, nine_values(number), rtol=1e-6)
        assert reading.ticks == number * 100
    assert parser.counts == {"lost_samples": 0}


def test_absent_vectors_are_absent() -> None:
    values = np.where(np.arange(9) < 6, nine_values(0), np.nan)
    (reading,) = parse(XsensParser(), [encode_sample(values, 0, 0)])
    np.testing.assert_allclose(reading.values, values, rtol=1e-6)


def test_a_reading_comes_with_its_last_byte_and_has_the_arrival_of_its_first() -> None:
    parser = XsensParser()
    (sample,) = _stream(1)
    assert parser.feed(b"\x00\xfa\x00", 1) == []
    assert parser.feed(sample[:10], 2) == []
    assert parser.feed(sample[10:-1], 3) == []
    (reading,) = parser.feed(sample[-1:], 4)
    assert (reading.arrival_ns, reading.raw) == (2, b"\x00\xfa\x00" + sample)


@given(split(b"".join(_stream(12)), most=40))
def test_any_split_gives_the_same_readings(chunks: list[bytes]) -> None:
    parser = XsensParser()
    readings = parse(parser, chunks)
    assert [reading.ticks for reading in readings] == list(range(0, 1200, 100))
    assert [reading.raw for reading in readings] == _stream(12)
    assert parser.counts == {"lost_samples": 0}


@given(damaged(b"".join(_stream(15)), most_cut_off=60), st.data())
def test_damage_never_raises_and_is_left_behind(before: bytes, data: st.DataObject) -> None:
    whole = before + b"".join(_stream(45, start=100))  # a torn message may claim 2048 bytes
    readings = parse(XsensParser(), data.draw(split(whole)))
    assert [reading.ticks for reading in readings[-5:]] == list(range(14_000, 14_500, 100))
    assert b"".join(reading.raw for reading in readings) == whole


@given(st.lists(st.binary(max_size=200)))
def test_noise_never_raises(chunks: list[bytes]) -> None:
    parse(XsensParser(), chunks)


@given(st.binary(max_size=80))
def test_nonsense_behind_a_good_checksum_never_raises(data: bytes) -> None:
    parser = XsensParser()
    readings = parse(parser, [encode_message(0x36, data), *_stream(1)])
    assert len(readings) >= 1


@pytest.mark.parametrize(
    "data",
    [
        "40200c3f800000",  # claims 12 bytes, has 4
        "402004 3f800000",  # one number is no vector
        "40",  # half an id
        "4020",  # no length
    ],
)
def test_malformed_messages_are_counted(data: str) -> None:
    parser = XsensParser()
    assert parse(parser, [encode_message(0x36, bytes.fromhex(data))]) == []
    assert parser.counts == {"malformed_messages": 1}


@pytest.mark.parametrize(
    ("number_format", "payload"),
    [
        (0, struct.pack(">3f", 1.5, -2.25, 9.75)),
        (1, struct.pack(">3i", *(round(value * 2**20) for value in (1.5, -2.25, 9.75)))),
        (2, b"".join(struct.pack(">Ih", *parts) for parts in [(2**31, 1), (3 * 2**30, -3), (3 * 2**30, 9)])),
        (3, struct.pack(">3d", 1.5, -2.25, 9.75)),
    ],
)
@pytest.mark.parametrize("coordinates", [0x0, 0x4, 0x8])
def test_every_number_format_and_coordinate_system(number_format: int, payload: bytes, coordinates: int) -> None:
    data = struct.pack(">HB", 0x4020 | coordinates | number_format, len(payload)) + payload
    (reading,) = parse(XsensParser(), [encode_message(0x36, data)])
    assert list(reading.values[:3]) == [1.5, -2.25, 9.75]
    assert reading.ticks is None


def test_messages_longer_than_254_bytes() -> None:
    (sample,) = _stream(1)
    data = sample[4:-1] + struct.pack(">HB", 0x2020, 244) + bytes(244)
    message = encode_message(0x36, data)
    assert message[:6] == b"\xfa\xff\x36\xff" + len(data).to_bytes(2, "big")
    (reading,) = parse(XsensParser(), [message[:300], message[300:]])
    np.testing.assert_allclose(reading.values, nine_values(0), rtol=1e-6)


def test_losses_show_in_the_packet_counter_over_its_wrap_and_not_after_a_reset() -> None:
    stream = [encode_sample(nine_values(number), number, number * 100) for number in range(65530, 65550)]
    del stream[3:5], stream[10]
    parser = XsensParser()
    assert len(parse(parser, stream + _stream(5))) == 22
    assert parser.counts["lost_samples"] == 3


@pytest.mark.parametrize("wrap", [2**32, 864_000_000])
def test_the_clock_is_unwrapped_whichever_way_it_wraps(wrap: int) -> None:
    stream = [encode_sample(nine_values(n), n, (wrap - 1000 + n * 100) % wrap) for n in range(20)]
    readings = parse(XsensParser(), stream)
    assert set(np.diff([reading.ticks for reading in readings])) == {100}


def test_a_reset_clock_is_no_wrap() -> None:
    readings = parse(XsensParser(), [encode_sample(nine_values(0), 0, 500_000), encode_sample(nine_values(1), 1, 0)])
    assert [reading.ticks for reading in readings] == [500_000, 0]


def test_the_configuration_asks_for_counter_clock_and_nine_axes() -> None:
    commands, baud = XsensParser.configuration(100, 115200)
    assert [command.hex() for command in commands] == [
        "faff3000d1",
        "faffc0141020ffff1060ffff4020006480200064c020006485",
        "faff1000f1",
    ]
    assert baud == 115200


def test_a_line_too_slow_for_the_rate_is_refused() -> None:
    with pytest.raises(SensorError, match="200 Hz needs 124000 baud"):
        XsensParser.configuration(200, 115200)


def test_captured_messages(data_dir: Path) -> None:
    captured = {}
    for line in (data_dir / "captures/xsens_mti300_frames.hex").read_text().splitlines():
        name, verdict, text = line.split()
        assert verdict == "ok"
        captured[name] = bytes.fromhex(text)
    assert all(sum(message[1:]) % 256 == 0 for message in captured.values())

    stream = ByteStream()
    counts: Counter[str] = Counter()
    stream.append(b"".join(captured.values()), 0)
    parsed = list(messages(stream, counts))
    assert [(message[2], message[4:-1]) for message in captured.values()] == [(kind, data) for kind, data, _ in parsed]
    assert counts == {}
    for message in captured.values():
        assert encode_message(message[2], message[4:-1]) == message

    parser = XsensParser()
    readings = parse(parser, [b"".join(captured.values())])
    readings = [reading for reading in readings if np.isfinite(reading.values[:6]).any()]
    assert [reading.ticks for reading in readings] == [0x01A498DE, 0x01363FA6]
    full = captured["test_parse_mdata2_full"].hex()
    for where, identifier, unit in [(slice(0, 3), "4020", 1), (slice(3, 6), "8020", 1), (slice(6, 9), "c020", 49)]:
        numbers = full.split(identifier + "0c")[1][:24]
        np.testing.assert_allclose(
            readings[1].values[where], np.multiply(struct.unpack(">3f", bytes.fromhex(numbers)), unit), rtol=1e-6
        )
    assert parser.counts["malformed_messages"] == parser.counts["skipped_bytes"] == parser.counts["bad_checksums"] == 0


def test_a_vector_that_comes_alone_is_a_reading() -> None:
    for where in slice(0, 3), slice(3, 6), slice(6, 9):
        values = np.full(9, np.nan)
        values[where] = nine_values(1)[where]
        (reading,) = parse(XsensParser(), [encode_sample(values, 1, 100)])
        np.testing.assert_allclose(reading.values, values, rtol=1e-6)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (encode_message(0x32, bytes(36)), "older format MTData (MID 0x32). Change its output to MTData2"),
        (
            encode_message(0x36, bytes.fromhex("1020020001")),
            "MTData2 with 0x1020, but neither acceleration (0x4020) nor",
        ),
        (encode_message(0x36), "MTData2 with nothing, but"),
        (encode_message(0x3E), "messages of MID 0x3e, but no MTData2 (0x36)"),
    ],
)
def test_what_is_recognised_without_measurements_is_named(message: bytes, words: str) -> None:
    parser = XsensParser()
    assert parse(parser, [message] * 3) == []
    assert words in parser.unusable()
    parse(parser, _stream(1))
    assert parser.unusable() == ""


def test_one_message_in_noise_is_not_recognised() -> None:
    parser = XsensParser()
    parse(parser, [encode_message(0x32, bytes(36))] * 2)
    assert parser.unusable() == ""
