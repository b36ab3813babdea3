"""The Xsens Xbus protocol with MTData2 messages, after the MT Low Level Communication Protocol.

A message is ``FA FF MID LEN data CS``, big-endian. After LEN = FF, two bytes of length follow. All bytes after FA sum
to 0 modulo 256. MTData2 holds packets ``id (uint16) | length | payload``. The last hexadecimal digit of an id gives the
number format and the coordinate system of the payload.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Iterator, NamedTuple

import numpy as np

from cosmo_runtime.sensors.imu.stream import BITS_PER_BYTE, RECOGNISED, ByteStream, Reading
from cosmo_runtime.sensors.sensor import SensorError

GO_TO_MEASUREMENT, GO_TO_CONFIG, MT_DATA2, SET_OUTPUT = 0x10, 0x30, 0x36, 0xC0  # message ids; an answer's is 1 more
MT_DATA = 0x32  # identifier of the older format, which does not describe its content
PACKET_COUNTER, SAMPLE_TIME, ACCELERATION, ANGULAR_RATE, MAGNETIC_FIELD = 0x1020, 0x1060, 0x4020, 0x8020, 0xC020  # ids

_PREAMBLE, _MASTER = 0xFA, 0xFF
_EXTENDED = 0xFF
_LONGEST = 2048
_EARTH_FIELD_UT = 49.0  # devices give the field relative to the earth's at the place of calibration
_VECTORS = (  # id, its place in a sample, unit
    (ACCELERATION, slice(0, 3), 1.0),  # m/s²
    (ANGULAR_RATE, slice(3, 6), 1.0),  # rad/s
    (MAGNETIC_FIELD, slice(6, 9), _EARTH_FIELD_UT),
)
_NUMBER_FORMATS = (  # float32, fixed point 12.20 and 16.32, float64
    np.dtype(">f4"),
    np.dtype(">i4"),
    np.dtype([("fraction", ">u4"), ("whole", ">i2")]),
    np.dtype(">f8"),
)
_TICKS_PER_S = 10_000
_LONGEST_GAP_TICKS = 10 * _TICKS_PER_S
_WRAPS = (2**32, 864_000_000)  # wrap of SampleTimeFine: 1 and 600 series, 10 and 100 series


class Message(NamedTuple):
    """A message with a correct checksum. ``arrival_ns`` is the arrival of its first byte."""

    identifier: int
    data: bytes
    arrival_ns: int


def messages(stream: ByteStream, counts: Counter[str]) -> Iterator[Message]:
    """Reads whole messages from a stream, and counts ``skipped_bytes`` and ``bad_checksums``."""
    pending = stream.pending
    while pending:
        if pending[0] != _PREAMBLE or pending[1:2] not in (b"", bytes([_MASTER])):
            stream.advance(1)
            counts["skipped_bytes"] += 1
            continue
        start = 6 if pending[3:4] == bytes([_EXTENDED]) else 4
        if len(pending) < start:
            return
        length = int.from_bytes(pending[4:6], "big") if start == 6 else pending[3]
        end = start + length
        if length <= _LONGEST and len(pending) <= end:
            return
        if length > _LONGEST or sum(pending[1 : end + 1]) & 0xFF:
            counts["bad_checksums"] += 1
            stream.advance(1)
            counts["skipped_bytes"] += 1
            continue
        message = Message(pending[2], bytes(pending[start:end]), stream.arrival_ns())
        stream.advance(end + 1)
        yield message


def encode_message(identifier: int, data: bytes = b"") -> bytes:
    """Returns a message with its checksum."""
    length = bytes([len(data)]) if len(data) < _EXTENDED else struct.pack(">BH", _EXTENDED, len(data))
    body = bytes([_MASTER, identifier]) + length + data
    return bytes([_PREAMBLE]) + body + bytes([-sum(body) & 0xFF])


def encode_sample(values: np.ndarray, counter: int, clock_ticks: int) -> bytes:
    """Returns the MTData2 message of one measurement, without vectors that are NaN.

    Args:
        values: (9,) as in ``sensors.events.Sample``.
        counter: the measurement's number, sent modulo 2^16.
        clock_ticks: the device's clock in 0.1 ms, sent modulo 2^32.
    """
    data = struct.pack(">HBHHBI", PACKET_COUNTER, 2, counter % 2**16, SAMPLE_TIME, 4, clock_ticks % 2**32)
    for identifier, where, unit in _VECTORS:
        if not np.isnan(values[where]).any():
            data += struct.pack(">HB3f", identifier, 12, *(values[where] / unit))
    return encode_message(MT_DATA2, data)


class XsensParser:
    """Parses an Xbus byte stream. The readings do not depend on how the bytes are split.

    Attributes:
        counts: ``skipped_bytes``, ``bad_checksums``, ``malformed_messages`` (correct checksum, but broken inside) and
            ``lost_samples`` (gaps in the device's packet counter).
    """

    name = "xsens"
    has_clock = True
    tick_ns = 1e9 / _TICKS_PER_S
    wrap_ticks = None  # unwrapped here, because only this parser knows both wraps

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._stream = ByteStream()
        self._last_counter: int | None = None
        self._last_ticks = 0
        self._turned_ticks = 0  # ticks of the clock's full turns so far
        self._identifiers: Counter[int] = Counter()  # counts of all messages by MID
        self._packets: set[int] = set()  # counts of all packets in MTData2 by id

    @staticmethod
    def configuration(rate_hz: int, baud: int) -> tuple[list[bytes], int]:
        """Plans how to switch on the counter, the clock and all nine axes.

        Args:
            rate_hz: measurements a second.
            baud: the speed of the line. It stays, because a device changes it only at a reset.

        Returns:
            The messages in order, and the speed of the line.

        Raises:
            SensorError: the line is too slow.
        """
        needed = rate_hz * len(encode_sample(np.zeros(9), 0, 0)) * BITS_PER_BYTE
        if needed > baud:
            raise SensorError(
                f"Xsens IMU: {rate_hz} Hz needs {needed} baud, but the device has {baud}; raise it with MT Manager."
            )
        outputs = [(PACKET_COUNTER, 0xFFFF), (SAMPLE_TIME, 0xFFFF)]  # once in every message
        outputs += [(identifier, rate_hz) for identifier, _, _ in _VECTORS]
        data = b"".join(struct.pack(">HH", *output) for output in outputs)
        return [encode_message(GO_TO_CONFIG), encode_message(SET_OUTPUT, data), encode_message(GO_TO_MEASUREMENT)], baud

    def unusable(self) -> str:
        """Explains why a recognised device gives no measurements; empty if it gives some, or none was recognised."""
        if sum(self._identifiers.values()) < RECOGNISED or self._packets & {ACCELERATION, ANGULAR_RATE}:
            return ""
        if MT_DATA2 in self._identifiers:
            packets = ", ".join(f"{packet:#06x}" for packet in sorted(self._packets)) or "nothing"
            return (
                f"an Xsens device sends MTData2 with {packets}, but neither acceleration ({ACCELERATION:#06x}) nor"
                f" angular rate ({ANGULAR_RATE:#06x}). Switch both on with MT Manager"
            )
        if MT_DATA in self._identifiers:
            return (
                "an Xsens device sends the older format MTData (MID 0x32). Change its output to MTData2 with MT Manager"
            )
        identifiers = ", ".join(f"{identifier:#04x}" for identifier in sorted(self._identifiers))
        return (
            f"an Xsens device sends messages of MID {identifiers}, but no MTData2 (0x36). Set its output up with MT"
            " Manager"
        )

    def feed(self, data: bytes, arrival_ns: int) -> list[Reading]:
        """Parses the bytes that arrived at ``arrival_ns``, and returns the readings that they complete."""
        self._stream.append(data, arrival_ns)
        readings = []
        for message in messages(self._stream, self.counts):
            self._identifiers[message.identifier] += 1
            if message.identifier == MT_DATA2:
                reading = self._reading(message)
                if reading is not None:
                    readings.append(reading)
        return readings

    def _reading(self, message: Message) -> Reading | None:
        values = np.full(9, np.nan, np.float32)
        try:
            packets = _packets(message.data)
            self._packets |= packets.keys()
            for identifier, where, unit in _VECTORS:
                if identifier in packets:
                    values[where] = _vector(*packets[identifier]) * unit
        except ValueError:
            self.counts["malformed_messages"] += 1
            return None
        if PACKET_COUNTER in packets:
            self._count_lost(int.from_bytes(packets[PACKET_COUNTER][0], "big"))
        if np.isnan(values).all():
            return None
        ticks = self._unwrapped(int.from_bytes(packets[SAMPLE_TIME][0], "big")) if SAMPLE_TIME in packets else None
        return Reading(message.arrival_ns, ticks, values, self._stream.cut(self._stream.position))

    def _count_lost(self, counter: int) -> None:
        if self._last_counter is not None:
            lost = (counter - self._last_counter - 1) % 2**16
            self.counts["lost_samples"] += lost if lost < 2**15 else 0  # it went backwards: the device was reset
        self._last_counter = counter

    def _unwrapped(self, ticks: int) -> int:
        for turn in _WRAPS:
            if 0 < ticks + turn - self._last_ticks < _LONGEST_GAP_TICKS:
                self._turned_ticks += turn
        self._last_ticks = ticks
        return self._turned_ticks + ticks


def _packets(data: bytes) -> dict[int, tuple[bytes, int]]:
    """Returns the payload and number format of each packet in an MTData2 message, by the base of its id.

    Raises:
        ValueError: the packets do not fill the message.
    """
    packets = {}
    position = 0
    while position < len(data):
        identifier, length = int.from_bytes(data[position : position + 2], "big"), data[position + 2 : position + 3]
        start = position + 3
        position = start + int.from_bytes(length, "big")
        packets[identifier & 0xFFF0] = (data[start:position], identifier & 0x3)
    if position != len(data):
        raise ValueError("the packets do not fill the message")
    return packets


def _vector(payload: bytes, number_format: int) -> np.ndarray:
    """Returns a payload as (3,) float64.

    Raises:
        ValueError: the payload is not three numbers.
    """
    numbers: np.ndarray = np.frombuffer(payload, _NUMBER_FORMATS[number_format])
    if len(numbers) != 3:
        raise ValueError("not three numbers")
    if number_format == 1:
        return numbers / 2.0**20
    if number_format == 2:
        return numbers["whole"] + numbers["fraction"] / 2.0**32
    return numbers.astype(np.float64)
