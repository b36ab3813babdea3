"""The true activities, as far as they are known."""

from __future__ import annotations

from bisect import bisect_right
from typing import Iterator, List, NamedTuple, Optional

from cosmo_runtime.sensors.events import Truth


class Segment(NamedTuple):
    """One segment of one activity. The start is included, the end is not."""

    start_ns: int
    end_ns: int
    activity: str


class TruthLine:
    """The true activities in order of time, from ``Truth`` events."""

    def __init__(self) -> None:
        self._starts: List[int] = []
        self._activities: List[str] = []

    def add(self, truth: Truth) -> None:
        """Adds the next change of activity."""
        if self._activities and self._activities[-1] == truth.activity:
            return
        self._starts.append(truth.stamp_ns)
        self._activities.append(truth.activity)

    def at(self, time_ns: int) -> Optional[str]:
        """Returns the activity at a time; None if it is unknown."""
        position = bisect_right(self._starts, time_ns) - 1
        return self._activities[position] if position >= 0 else None

    def throughout(self, start_ns: int, end_ns: int) -> Optional[str]:
        """Returns the activity that fills (start_ns, end_ns]; None if there are several, or it is unknown."""
        first, last = bisect_right(self._starts, start_ns), bisect_right(self._starts, end_ns)
        return self.at(start_ns) if first == last else None

    def forget(self, before_ns: float) -> None:
        """Drops the segments that ended by a time."""
        ended = max(0, bisect_right(self._starts, before_ns) - 1)
        del self._starts[:ended], self._activities[:ended]

    def segments(self) -> Iterator[Segment]:
        """Yields the segments whose end is known, oldest first."""
        for start_ns, end_ns, activity in zip(self._starts, self._starts[1:], self._activities):
            yield Segment(start_ns, end_ns, activity)
