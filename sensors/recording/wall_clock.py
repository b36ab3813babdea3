"""The wall clock of a recording, which may be set while the recording runs.

A machine without a battery clock gets its time from the network, long after it has started. Linux slews its monotonic
clock together with the wall clock, so their difference is constant unless the wall clock is set. The topic ``/clock``
holds readings of both. If the difference changes between two readings, the wall clock was set in between, and its time
there is unknown.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Iterable, List, NamedTuple, Tuple

_STEP_NS = 50_000_000  # even on a busy machine, a reading of both clocks is off by less
_STEPS_NAMED = 5
_BEYOND_NS = 2 * 10**9  # a time this far outside a recording still belongs to its first or last stretch


class WallTimeError(ValueError):
    """A wall time that never occurs in the recording, or occurs twice. The message says why and what to do."""


class _Stretch(NamedTuple):
    """A difference of the clocks, and when it was first and last seen, on the monotonic clock."""

    offset_ns: int
    begin_ns: int
    end_ns: int


class WallClock:
    """Maps a recording's monotonic times to wall times, and back.

    Args:
        offset_ns: wall clock minus monotonic clock when the recording began.
        begin_ns: the recording's first moment, on the monotonic clock.
        end_ns: its last moment.
        readings: readings of both clocks, monotonic and wall, in order of time.
    """

    def __init__(self, offset_ns: int, begin_ns: int, end_ns: int, readings: Iterable[Tuple[int, int]]) -> None:
        stretches = [_Stretch(offset_ns, begin_ns, begin_ns)]
        for monotonic_ns, wall_ns in readings:
            last = stretches[-1]
            if abs(wall_ns - monotonic_ns - last.offset_ns) > _STEP_NS:
                stretches.append(_Stretch(wall_ns - monotonic_ns, monotonic_ns, monotonic_ns))
            else:
                stretches[-1] = last._replace(end_ns=monotonic_ns)
        stretches[0] = stretches[0]._replace(begin_ns=begin_ns - _BEYOND_NS)
        stretches[-1] = stretches[-1]._replace(end_ns=max(end_ns, stretches[-1].end_ns) + _BEYOND_NS)
        self._start_ns = begin_ns
        self._stretches = stretches
        self._begins_ns = [stretch.begin_ns for stretch in stretches[1:]]

    def wall_ns(self, host_ns: int) -> int:
        """The wall clock's time at a monotonic time. If it was set, it counts as set at the next reading."""
        stretch = self._stretches[bisect_right(self._begins_ns, host_ns)]
        return host_ns + stretch.offset_ns

    def host_ns(self, wall_ns: int) -> int:
        """The monotonic time at which the wall clock showed a time, which may lie outside the recording.

        Raises:
            WallTimeError: the clock was set so that it never showed this time, or showed it twice.
        """
        moments = [wall_ns - s.offset_ns for s in self._stretches if s.begin_ns <= wall_ns - s.offset_ns <= s.end_ns]
        if len(moments) > 1:
            raise WallTimeError(f"the wall clock showed it twice: {self._steps()}")
        if moments:
            return moments[0]
        begins, ends = zip(*((s.begin_ns + s.offset_ns, s.end_ns + s.offset_ns) for s in self._stretches))
        if wall_ns < min(begins):
            return wall_ns - self._stretches[begins.index(min(begins))].offset_ns
        if wall_ns > max(ends):
            return wall_ns - self._stretches[ends.index(max(ends))].offset_ns
        raise WallTimeError(f"the wall clock may never have shown it: {self._steps()}")

    def _steps(self) -> str:
        steps: List[str] = []
        for before, after in list(zip(self._stretches, self._stretches[1:]))[:_STEPS_NAMED]:
            by_s = (after.offset_ns - before.offset_ns) / 1e9
            at_s = (after.begin_ns - self._start_ns) / 1e9
            steps.append(f"it was set {'forward' if by_s > 0 else 'back'} by {abs(by_s):.3f} s at {at_s:.1f} s")
        return f"{', '.join(steps)} from the recording's start; give seconds from the start instead"
