"""What every IMU parser takes and gives: bytes with their arrivals in, readings out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

BITS_PER_BYTE = 10  # on a serial line: start, eight data, stop


@dataclass(frozen=True)
class Reading:
    """One complete measurement of an IMU.

    Attributes:
        arrival_ns: when its first byte reached the host.
        ticks: the device's clock, in the parser's ``tick_ns``; None where the stream has no clock.
        values: (9,) float32 as in ``sensors.events.Sample``: m/s², rad/s, µT; NaN where absent.
        raw: the bytes since the reading before, the skipped ones included.
    """

    arrival_ns: int
    ticks: int | None
    values: np.ndarray
    raw: bytes


class ByteStream:
    """The bytes of a port, each with its arrival.

    Attributes:
        pending: bytes that are not parsed yet.
        position: how many bytes were before them.
    """

    def __init__(self) -> None:
        self.pending = bytearray()
        self.position = 0
        self._parsed = bytearray()  # since the last cut
        self._arrivals: deque[tuple[int, int]] = deque()  # (position after the last byte, arrival) of each chunk

    def append(self, data: bytes, arrival_ns: int) -> bytearray:
        """Takes what came next and returns all that is pending."""
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
        """Returns the parsed bytes before ``position`` that no earlier cut returned."""
        count = len(self._parsed) - (self.position - position)
        raw = bytes(self._parsed[:count])
        del self._parsed[:count]
        return raw
