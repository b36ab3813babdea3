"""The WitMotion standard protocol (JY901, WT901 and relatives), after WitMotion's protocol manual.

A packet is 11 bytes, little-endian: ``55 | type | 4 x int16 | SUM``, where SUM is the low byte of the sum of the first
ten. One measurement is a group of packets in ascending order of type, so a packet whose type is not higher than the
previous one starts the next group. There is no sequence number. Only the device's clock shows losses, so it should be
switched on.
"""

from __future__ import annotations

import math
import statistics
import struct
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from cosmo_runtime.sensors.imu.stream import BITS_PER_BYTE, RECOGNISED, ByteStream, Reading

TIME, ACCELERATION, ANGULAR_RATE, MAGNETIC_FIELD = 0x50, 0x51, 0x52, 0x54  # types of packets
OUTPUT_SET, RATE, BAUD, UNLOCK = 0x02, 0x03, 0x04, 0x69  # registers
UNLOCKED = 0xB588
OUTPUT_BITS = {TIME: 0x01, ACCELERATION: 0x02, ANGULAR_RATE: 0x04, MAGNETIC_FIELD: 0x10}
RATES = {10: 0x06, 20: 0x07, 50: 0x08, 100: 0x09, 200: 0x0B}  # Hz -> value of the register
BAUDS = {9600: 2, 115200: 6, 230400: 7, 921600: 9}  # -> value of the register, slowest first

ACCELERATION_UNIT = 16 * 9.80665 / 32768  # m/s² of one count: ±16 g
ANGULAR_RATE_UNIT = math.radians(2000) / 32768  # rad/s of one count: ±2000 °/s

_COMMAND = b"\xff\xaa"
_COMMAND_BYTES = 5
_HEADER = 0x55
_PACKET_BYTES = 11
_LAST_TYPE, _ANSWER = 0x5A, 0x5F  # begins a measurement; begins a command
_VECTORS = (  # type of packet, its place in a sample, unit of one count
    (ACCELERATION, slice(0, 3), ACCELERATION_UNIT),
    (ANGULAR_RATE, slice(3, 6), ANGULAR_RATE_UNIT),
    (MAGNETIC_FIELD, slice(6, 9), 0.15),  # µT: the AK8963 in the MPU-9250 of the WT901; other chips differ by a factor
)
_DAY_MS = 86_400_000
_LONGEST_GAP_MS = 10_000  # after a longer gap, the clock was set or the device was off


def encode_sample(values: np.ndarray, clock_ms: int | None) -> bytes:
    """Returns the packets of one measurement, without values that are NaN or None.

    Args:
        values: (9,) as in ``sensors.events.Sample``, clipped to the device's range.
        clock_ms: the device's clock, in milliseconds since midnight.
    """
    packets = b""
    if clock_ms is not None:
        seconds, millisecond = divmod(clock_ms % _DAY_MS, 1000)
        time_of_day = seconds // 3600, seconds // 60 % 60, seconds % 60, millisecond
        packets += _encode_packet(TIME, struct.pack("<6BH", 0, 1, 1, *time_of_day))
    for kind, where, unit in _VECTORS:
        if not np.isnan(values[where]).any():
            counts = np.clip(np.round(values[where] / unit), -32768, 32767).astype("<i2")
            packets += _encode_packet(kind, counts.tobytes() + bytes(2))
    return packets


def _encode_packet(kind: int, payload: bytes) -> bytes:
    body = bytes([_HEADER, kind]) + payload
    return body + bytes([sum(body) & 0xFF])


def encode_command(register: int, value: int) -> bytes:
    """Returns the command that writes a register."""
    return _COMMAND + struct.pack("<BH", register, value)


def decode_commands(data: bytes) -> list[tuple[int, int]]:
    """Returns register and value of each command in a host's bytes, and skips anything else."""
    commands = []
    start = data.find(_COMMAND)
    while 0 <= start <= len(data) - _COMMAND_BYTES:
        commands.append(struct.unpack_from("<BH", data, start + len(_COMMAND)))
        start = data.find(_COMMAND, start + _COMMAND_BYTES)
    return commands


@dataclass
class _Group:
    """The packets of one measurement so far.

    Attributes:
        whole: no bytes were damaged since before its first packet.
        end: position in the stream after its latest packet.
    """

    arrival_ns: int
    whole: bool
    latest_type: int = 0
    end: int = 0
    packets: dict[int, bytes] = field(default_factory=dict)
    is_out: bool = False


class WitMotionParser:
    """Parses a WitMotion byte stream. The readings do not depend on how the bytes are split.

    A reading comes out with the last packet of its group. The parser learns which packets make a group when two
    successive undamaged groups agree. A group that lacks one is dropped and counted.

    Attributes:
        counts: ``skipped_bytes``, ``bad_checksums``, ``incomplete_samples`` (groups dropped for lack of a packet) and
            ``lost_samples`` (gaps in the device's clock; the incomplete samples if the clock is off).
    """

    name = "witmotion"
    has_clock = True
    tick_ns = 1e6
    wrap_ticks = _DAY_MS  # the time of day alone, because on many devices the date was never set

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._stream = ByteStream()
        self._damaged = False  # bytes before the next packet are missing
        self._group = _Group(0, whole=False, latest_type=_LAST_TYPE)  # the next group begins with any packet
        self._unsure: _Group | None = None  # the previous group, if it was whole but not as expected
        self._expected: set[int] | None = None  # types of packets in a group
        self._last_ticks: int | None = None
        self._steps: deque[int] = deque(maxlen=31)  # ticks from reading to reading
        self._kinds: Counter[int] = Counter()  # counts of all packets by type

    @staticmethod
    def configuration(rate_hz: int, baud: int) -> tuple[list[bytes], int]:
        """Plans how to switch on the clock and all nine axes, until power-off.

        Args:
            rate_hz: measurements a second; one of ``RATES``.
            baud: the present speed of the line.

        Returns:
            The commands in order, and the line's speed after them, which is higher if the measurements need it.
        """
        needed = rate_hz * len(OUTPUT_BITS) * _PACKET_BYTES * BITS_PER_BYTE
        commands = [(UNLOCK, UNLOCKED), (OUTPUT_SET, sum(OUTPUT_BITS.values())), (RATE, RATES[rate_hz])]
        if needed > baud:
            baud = next(faster for faster in BAUDS if faster >= needed)
            commands.append((BAUD, BAUDS[baud]))
        return [encode_command(*command) for command in commands], baud

    def unusable(self) -> str:
        """Explains why a recognised device gives no measurements; empty if it gives some, or none was recognised."""
        if sum(self._kinds.values()) < RECOGNISED or self._kinds.keys() & {ACCELERATION, ANGULAR_RATE}:
            return ""
        kinds = ", ".join(f"{kind:#04x}" for kind in sorted(self._kinds))
        return (
            f"a WitMotion device sends packets of type {kinds}, but neither acceleration ({ACCELERATION:#04x}) nor"
            f" angular rate ({ANGULAR_RATE:#04x}). Switch both on with WitMotion's software"
        )

    def feed(self, data: bytes, arrival_ns: int) -> list[Reading]:
        """Parses the bytes that arrived at ``arrival_ns``, and returns the readings that they complete."""
        readings: list[Reading] = []
        pending = self._stream.append(data, arrival_ns)
        while len(pending) >= _PACKET_BYTES:
            kind = pending[1]
            if pending[0] != _HEADER or not TIME <= kind <= _ANSWER:
                self._skip()
            elif sum(pending[:10]) & 0xFF != pending[10]:
                self.counts["bad_checksums"] += 1
                self._skip()
            elif kind > _LAST_TYPE:
                self._stream.advance(_PACKET_BYTES)
            else:
                readings += self._take(kind, bytes(pending[2:10]))
        return readings

    def _skip(self) -> None:
        self.counts["skipped_bytes"] += 1
        self._damaged = True
        self._stream.advance(1)

    def _take(self, kind: int, payload: bytes) -> list[Reading]:
        self._kinds[kind] += 1
        group, readings = self._group, []
        group.whole &= not self._damaged
        if kind <= group.latest_type:
            readings = self._close(group)
            group = self._group = _Group(self._stream.arrival_ns(), whole=not self._damaged)
        self._damaged = False
        self._stream.advance(_PACKET_BYTES)
        group.latest_type, group.end = kind, self._stream.position
        if kind in OUTPUT_BITS:
            group.packets[kind] = payload
        if group.packets.keys() == self._expected and not group.is_out:
            readings.append(self._reading(group))
        return readings

    def _close(self, group: _Group) -> list[Reading]:
        """Checks a group when the next one begins."""
        before, self._unsure = self._unsure, None
        if group.packets.keys() == self._expected:
            self._count_incomplete(before)
            return []
        if not group.whole or not group.packets.keys() & {ACCELERATION, ANGULAR_RATE}:
            self._count_incomplete(before)
            self._count_incomplete(group)
            return []
        if before is None or before.packets.keys() != group.packets.keys():
            self._count_incomplete(before)
            self._unsure = group
            return []
        self._expected = set(group.packets)
        return [self._reading(each) for each in (before, group) if not each.is_out]

    def _count_incomplete(self, group: _Group | None) -> None:
        if group is None or group.is_out or self._expected is None:
            return
        self.counts["incomplete_samples"] += 1
        if TIME not in self._expected:
            self.counts["lost_samples"] += 1

    def _reading(self, group: _Group) -> Reading:
        group.is_out = True
        values = np.full(9, np.nan, np.float32)
        for kind, where, unit in _VECTORS:
            if kind in group.packets:
                values[where] = np.frombuffer(group.packets[kind], "<i2", 3) * unit
        ticks = _time_of_day_ms(group.packets[TIME]) if TIME in group.packets else None
        self._count_lost(ticks)
        return Reading(group.arrival_ns, ticks, values, self._stream.cut(group.end))

    def _count_lost(self, ticks: int | None) -> None:
        if ticks is None:
            return
        if self._last_ticks is not None:
            step = (ticks - self._last_ticks) % _DAY_MS
            if 0 < step <= _LONGEST_GAP_MS:
                self._steps.append(step)
                self.counts["lost_samples"] += max(0, round(step / statistics.median(self._steps)) - 1)
        self._last_ticks = ticks


def _time_of_day_ms(payload: bytes) -> int | None:
    """Returns the milliseconds since midnight in a time packet; None if the time is impossible."""
    *_, hour, minute, second, millisecond = struct.unpack("<6BH", payload)
    if hour > 23 or minute > 59 or second > 59 or millisecond > 999:
        return None
    return ((hour * 60 + minute) * 60 + second) * 1000 + millisecond
