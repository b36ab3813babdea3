"""A ring buffer of one sensor's recent samples. Memory is allocated once, unless samples come faster than stated."""

from __future__ import annotations

import numpy as np

from cosmo_runtime.sensors.events import Sample


class RingBuffer:
    """The newest samples of one sensor, oldest first. The oldest makes room for the newest.

    Only the recognition loop uses it, so it needs no lock. Sensor threads pass their samples on by a queue.

    Args:
        capacity: the number of samples. Memory is allocated at the first sample, which determines shape and type.
        keep_ns: samples up to this age must stay. If they do not fit, the capacity doubles, within 64 MB.

    Attributes:
        keep_ns: samples up to this age stay.
        newest_stamp_ns: the newest sample's stamp; -1 while empty.
        out_of_order: samples that were refused, because their stamp is not after the newest or is impossible, or
            because their shape differs.
    """

    _SPARE_ROWS = 64
    _MOST_BYTES = 64_000_000  # limit of growth
    _MOST_AHEAD_NS = 1_000_000_000  # how far a stamp may lie after its arrival
    _LATEST_NS = 2**62  # 146 years; differences of smaller stamps fit into 64 bits

    def __init__(self, capacity: int, keep_ns: int = 0) -> None:
        self.newest_stamp_ns = -1
        self.out_of_order = 0
        self._capacity = capacity
        self.keep_ns = keep_ns
        self._slots = np.tile(np.arange(capacity), 2)
        self._stamps = np.zeros(capacity, np.int64)
        self._rows = np.zeros(capacity, np.int64)
        self._data: np.ndarray = np.empty((0, 0))
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        return self._count

    def append(self, sample: Sample) -> bool:
        """Adds a sample. Returns whether it was accepted."""
        data, stamp_ns = sample.data, sample.stamp_ns
        latest_ns = min(sample.arrival_ns + self._MOST_AHEAD_NS, self._LATEST_NS)
        fits = not self._count or data.shape[1:] == self._data.shape[2:]
        if not fits or not self.newest_stamp_ns < stamp_ns <= latest_ns:
            self.out_of_order += 1
            return False
        if self._count == self._capacity and stamp_ns - self._stamps[self._next] <= self.keep_ns:
            self._double()
        rows, at = len(data), self._next
        if not self._count or rows > self._data.shape[1]:
            self._allocate(data)
        if rows == self._data.shape[1]:
            self._data[at] = data
        else:
            self._data[at, :rows] = data
            self._data[at, rows:] = 0
        self._rows[at] = rows
        self._stamps[at] = self.newest_stamp_ns = stamp_ns
        self._next = (at + 1) % self._capacity
        self._count = min(self._count + 1, self._capacity)
        return True

    def shift(self, by_ns: int) -> None:
        """Moves the stamps of all samples, later or earlier."""
        self._stamps += by_ns
        if self._count:
            self.newest_stamp_ns += by_ns

    def first_stamp_after_ns(self, time_ns: int) -> int | None:
        """Returns the oldest stamp after a time; None if there is none."""
        if not self._count or self.newest_stamp_ns <= time_ns:
            return None
        stamps = self.stamps_ns()
        return int(stamps[np.searchsorted(stamps, time_ns, side="right")])

    def stamps_ns(self) -> np.ndarray:
        """Returns the stamps, oldest first: (len,) int64."""
        return self._stamps[self._order()]

    def take(self, positions: np.ndarray | slice) -> np.ndarray:
        """Returns samples of one shape by position from the oldest: (len(positions), *shape), copied."""
        return self._data[self._order()[positions]]

    def take_ragged(self, positions: np.ndarray) -> list[np.ndarray]:
        """Returns samples whose first axis varies, such as point clouds, by position from the oldest; copied."""
        return [self._data[slot, : self._rows[slot]].copy() for slot in self._order()[positions]]

    def _order(self) -> np.ndarray:
        """The slots, oldest sample first."""
        oldest = (self._next - self._count) % self._capacity
        return self._slots[oldest : oldest + self._count]

    def _double(self) -> None:
        if 2 * self._data.nbytes > self._MOST_BYTES:
            return
        order = self._order()
        room = np.zeros_like(order)
        self._stamps = np.concatenate([self._stamps[order], room])
        self._rows = np.concatenate([self._rows[order], room])
        self._data = np.concatenate([self._data[order], np.zeros_like(self._data)])
        self._next, self._capacity = self._count, 2 * self._capacity
        self._slots = np.tile(np.arange(self._capacity), 2)

    def _allocate(self, data: np.ndarray) -> None:
        """Makes room for samples as long as this one; ragged ones grow with some rows to spare."""
        old = self._data
        rows = len(data) if not self._count else len(data) + self._SPARE_ROWS
        self._data = np.zeros((self._capacity, rows, *data.shape[1:]), data.dtype)
        if self._count:
            self._data[:, : old.shape[1]] = old
