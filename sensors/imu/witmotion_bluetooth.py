"""WitMotion's Bluetooth frames (WT901BLE, WT9011DCL and relatives), after WitMotion's Bluetooth 5.0 protocol manual.

They come through a serial port if a bridge or WitMotion's USB adapter passes them on. A frame is 20 bytes,
little-endian: ``55 61 | acceleration | angular rate | angle``, three int16 each. ``55 71`` begins an answer to a
command, of the same length. A frame has no checksum, no number and no time, so the parser accepts it only if the next
one follows directly, or if nothing has followed yet.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from cosmo_runtime.sensors.imu.stream import BITS_PER_BYTE, ByteStream, Reading
from cosmo_runtime.sensors.imu.witmotion import (
    ACCELERATION_UNIT,
    ANGULAR_RATE_UNIT,
    RATE,
    RATES,
    UNLOCK,
    UNLOCKED,
    encode_command,
)
from cosmo_runtime.sensors.sensor import SensorError

_HEADER, _MEASUREMENT, _ANSWER = 0x55, 0x61, 0x71
_FRAME_BYTES = 20
_IN_A_ROW = 3  # frames that identify a stream, because two bytes of a measurement may look like a header
_UNITS = np.repeat([ACCELERATION_UNIT, ANGULAR_RATE_UNIT], 3)


class WitMotionBluetoothParser:
    """Parses a stream of Bluetooth frames. The readings do not depend on how undamaged frames are split.

    Attributes:
        counts: ``skipped_bytes``. Lost frames cannot be noticed.
    """

    name = "witmotion bluetooth"
    has_clock = False
    tick_ns = 1.0
    wrap_ticks = None

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._stream = ByteStream()
        self._in_step = False  # the previous frame ended where the pending bytes begin

    @staticmethod
    def configuration(rate_hz: int, baud: int) -> tuple[list[bytes], int]:
        """Plans how to set the rate, until power-off.

        Args:
            rate_hz: measurements a second; one of ``witmotion.RATES``.
            baud: the speed of the line. The bridge sets it, so it stays.

        Returns:
            The commands in order, and the speed of the line.

        Raises:
            SensorError: the line is too slow.
        """
        needed = rate_hz * _FRAME_BYTES * BITS_PER_BYTE
        if needed > baud:
            raise SensorError(
                f"WitMotion IMU over Bluetooth: {rate_hz} Hz needs {needed} baud, but the bridge is set to {baud};"
                " raise its speed or lower rate_hz."
            )
        return [encode_command(UNLOCK, UNLOCKED), encode_command(RATE, RATES[rate_hz])], baud

    def unusable(self) -> str:
        """Explains why a recognised device gives no measurements; always empty here."""
        return ""

    def feed(self, data: bytes, arrival_ns: int) -> list[Reading]:
        """Parses the bytes that arrived at ``arrival_ns``, and returns the readings that they complete."""
        readings = []
        pending = self._stream.append(data, arrival_ns)
        while len(pending) >= _FRAME_BYTES:
            starts = [start for start in range(0, _IN_A_ROW * _FRAME_BYTES, _FRAME_BYTES) if start < len(pending)]
            starts = starts[: 2 if self._in_step else _IN_A_ROW]
            if not all(_may_begin(pending, start) for start in starts):
                self._in_step = False
                self.counts["skipped_bytes"] += 1
                self._stream.advance(1)
            elif self._in_step or len(starts) == _IN_A_ROW:
                self._in_step = True
                readings += self._take(pending)
            else:
                break
        return readings

    def _take(self, pending: bytearray) -> list[Reading]:
        kind, words = pending[1], bytes(pending[2:14])
        arrival_ns = self._stream.arrival_ns()
        self._stream.advance(_FRAME_BYTES)
        if kind == _ANSWER:
            return []
        values = np.full(9, np.nan, np.float32)
        values[:6] = np.frombuffer(words, "<i2") * _UNITS
        return [Reading(arrival_ns, None, values, self._stream.cut(self._stream.position))]


def _may_begin(pending: bytearray, start: int) -> bool:
    """Whether a frame may begin here, judging by its first two bytes as far as they have come."""
    return pending[start] == _HEADER and (start + 1 == len(pending) or pending[start + 1] in (_MEASUREMENT, _ANSWER))
