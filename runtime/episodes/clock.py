"""Notices when the wall clock is set, as on a machine without a battery clock that learns the time from the network."""

from __future__ import annotations

import time
from typing import Callable

_STEP_NS = 10**9


def slept_ns() -> int:
    """How long this computer has slept since it started. Its monotonic clock is behind by this."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


class ClockWatch:
    """Says how far the wall clock was set. Sleep needs no correction: a sleeping computer's wall clock stays right.

    Args:
        wall_offset_ns: the wall clock minus the host's monotonic clock, at a time of the latter.
        slept_ns: how far the monotonic clock is behind because of sleep.
    """

    def __init__(self, wall_offset_ns: Callable[[int], int], slept_ns: Callable[[], int] = slept_ns) -> None:
        self._wall_offset_ns = wall_offset_ns
        self._slept_ns = slept_ns
        self._known_ns = self._seen_ns = 0
        self._begun = False

    def set_by_ns(self, at_ns: int) -> int:
        """How far the clock was set since what ``note`` noted; 0 before that, or if by less than a second."""
        self._seen_ns = self._wall_offset_ns(at_ns) - self._slept_ns()
        by_ns = self._seen_ns - self._known_ns
        return by_ns if self._begun and abs(by_ns) >= _STEP_NS else 0

    def note(self) -> None:
        """Notes the clock as ``set_by_ns`` has seen it. What depends on it is corrected."""
        self._known_ns, self._begun = self._seen_ns, True
