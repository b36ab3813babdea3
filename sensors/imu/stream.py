"""The types that all IMU parsers share: bytes with their arrivals go in, readings come out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

BITS_PER_BYTE = 10  # on a serial line: start, eight data, stop
RECOGNISED = 3  # intact messages that identify a protocol; noise may hold one by chance


@dataclass(frozen=True)
class Reading:
    """One complete measurement of an IMU.

    Attributes:
        arrival_ns: when its first byte reached the host.
        ticks: the device's clock, in the parser's ``tick_ns``; None where the stream has no clock.
        values: (9,) float32 as in ``sensors.events.Sample``: m/s², rad/s, µT; NaN where absent.
        raw: the bytes since the previous reading, including skipped ones.
    """

    arrival_ns: int
    ticks: int | None
    values: np.ndarray
    raw: bytes


class Measurements:
    """Finds where a measurement begins. A device may send its channels in several messages with the same time."""

    def __init__(self) -> None:
        self._ticks: int | None = None
        self._channels = np.zeros(9, bool)  # those of the latest measurement that have come

    def begins(self, reading: Reading) -> bool:
        """Whether the next reading begins another measurement."""
        channels = ~np.isnan(reading.values)
        again = reading.ticks is None or reading.ticks != self._ticks or bool((channels & self._channels).any())
        self._ticks = reading.ticks
        self._channels = channels if again else channels | self._channels
        return again


class ByteStream:
    """The bytes of a port, each with its arrival.

    Attributes:
        pending: the bytes that are not parsed yet.
        position: how many bytes came before these.
    """

    def __init__(self) -> None:
        self.pending = bytearray()
        self.position = 0
        self._parsed = bytearray()  # since the last cut
        self._arrivals: deque[tuple[int, int]] = deque()  # (position after the last byte, arrival) of each chunk

    def append(self, data: bytes, arrival_ns: int) -> bytearray:
        """Adds the bytes that came next, and returns all pending bytes."""
        self.pending += data
        self._arrivals.append((self.position + len(self.pending), arrival_ns))
        return self.pending

    def arrival_ns(self) -> int:
        """Returns when the first pending byte arrived."""
        while self._arrivals[0][0] <= self.position:
            self._arrivals.popleft()
        return self._arrivals[0][1]

    def advance(self, count: int) -> None:
        """Marks the first pending bytes as parsed."""
        self._parsed += self.pending[:count]
        del self.pending[:count]
        self.position += count

    def cut(self, position: int) -> bytes:
        """Returns the parsed bytes before ``position`` that no earlier call returned."""
        count = len(self._parsed) - (self.position - position)
        raw = bytes(self._parsed[:count])
        del self._parsed[:count]
        return raw
