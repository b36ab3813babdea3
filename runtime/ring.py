"""The recent past of one sensor, in memory that is allocated once."""

from __future__ import annotations

import numpy as np

from sensors.events import Sample


class RingBuffer:
    """The newest samples of one sensor, oldest first; the oldest makes room for the newest.

    Only the recognition loop touches it, so it needs no lock: sensor threads hand their samples over by a queue.

    Args:
        capacity: samples held. Memory is taken at the first sample, which tells shape and type.

    Attributes:
        out_of_order: samples refused because their stamp did not lie after the newest.
    """

    _SPARE_ROWS = 64

    def __init__(self, capacity: int) -> None:
        self.out_of_order = 0
        self._capacity = capacity
        self._stamps = np.zeros(capacity, np.int64)
        self._rows = np.zeros(capacity, np.int64)
        self._data: np.ndarray = np.empty((0, 0))
        self._count = 0
        self._next = 0

    def __len__(self) -> int:
        return self._count

    @property
    def newest_stamp_ns(self) -> int:
        """Stamp of the newest sample; -1 while empty."""
        return int(self._stamps[self._next - 1]) if self._count else -1

    def append(self, sample: Sample) -> bool:
        """Takes a sample in and says whether it did."""
        if sample.stamp_ns <= self.newest_stamp_ns:
            self.out_of_order += 1
            return False
        rows = len(sample.data)
        if not self._count or rows > self._data.shape[1]:
            self._allocate(sample.data)
        self._data[self._next, :rows] = sample.data
        self._rows[self._next] = rows
        self._stamps[self._next] = sample.stamp_ns
        self._next = (self._next + 1) % self._capacity
        self._count = min(self._count + 1, self._capacity)
        return True

    def stamps_ns(self) -> np.ndarray:
        """Returns the stamps, oldest first: (len,) int64."""
        return self._stamps[self._order()]

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Returns samples of one shape by position from the oldest: (len(positions), *shape), copied."""
        return self._data[self._order()[positions]]

    def take_ragged(self, positions: np.ndarray) -> list[np.ndarray]:
        """Returns samples whose first axis varies, such as point clouds, by position from the oldest; copied."""
        return [self._data[slot, : self._rows[slot]].copy() for slot in self._order()[positions]]

    def _order(self) -> np.ndarray:
        return (np.arange(self._count) + self._next - self._count) % self._capacity

    def _allocate(self, data: np.ndarray) -> None:
        """Makes room for samples as long as this one; ragged ones grow with some rows to spare."""
        old = self._data
        rows = len(data) if not self._count else len(data) + self._SPARE_ROWS
        self._data = np.zeros((self._capacity, rows, *data.shape[1:]), data.dtype)
        if self._count:
            self._data[:, : old.shape[1]] = old
