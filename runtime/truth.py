"""What the person really did, where it is known."""

from __future__ import annotations

from bisect import bisect_right
from typing import Iterator, List, NamedTuple, Optional

from sensors.events import Truth


class Segment(NamedTuple):
    """One stretch of one activity, start included, end excluded."""

    start_ns: int
    end_ns: int
    activity: str


class TruthLine:
    """The true activities in order of time, as ``Truth`` events told them."""

    def __init__(self) -> None:
        self._starts: List[int] = []
        self._activities: List[str] = []

    def add(self, truth: Truth) -> None:
        """Takes in the next change of activity."""
        if self._activities and self._activities[-1] == truth.activity:
            return
        self._starts.append(truth.stamp_ns)
        self._activities.append(truth.activity)

    def at(self, time_ns: int) -> Optional[str]:
        """Returns the activity at a time, None when it is not known."""
        position = bisect_right(self._starts, time_ns) - 1
        return self._activities[position] if position >= 0 else None

    def throughout(self, start_ns: int, end_ns: int) -> Optional[str]:
        """Returns the one activity that fills (start_ns, end_ns], None when there are several or none is known."""
        first, last = bisect_right(self._starts, start_ns), bisect_right(self._starts, end_ns)
        return self.at(start_ns) if first == last else None

    def segments(self) -> Iterator[Segment]:
        """Yields the stretches whose end is known, oldest first."""
        for start_ns, end_ns, activity in zip(self._starts, self._starts[1:], self._activities):
            yield Segment(start_ns, end_ns, activity)
