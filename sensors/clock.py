"""Maps a device's clock to the host's from arrival times alone.

E. Olson, "A passive solution to the sensor synchronization problem", IROS 2010. A message can only be late, never
early: of all pairs (device time, arrival) the one with the least delay is the best, and it is kept until another is
better than it, given that the two clocks may have drifted apart meanwhile. What remains is the least delay itself,
which no passive method can see.

Olson bounds the drift. Here none is assumed: a best pair that nothing in a whole block of some seconds came near is out
of date, because the device's clock paused or runs slower than was thought, and the block's own takes its place. How
long a tick really is shows in the best pairs of the latest blocks. The median over them ignores one pause or step.
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import Deque, NamedTuple

_STEP_NS = 1_000_000_000
_BLOCK_NS = 5_000_000_000  # some message in it comes without delay, even from 10 Hz on a host that stalls
_BLOCKS = 4  # three steps from one to the next: two agree if a third is spoilt


class _Pair(NamedTuple):
    """A message: what the device's clock read, unwrapped, and when it arrived."""

    ticks: int
    arrival_ns: int


class DeviceClock:
    """One device's clock, seen from the host.

    Args:
        tick_ns: nominal length of a tick of the device's clock or counter.
        wrap_ticks: where the counter starts at 0 again; None if it never does. Must be long against a host stall.
        alpha: the drift between the clocks that is followed at once, as a ratio; a faster one takes some blocks.

    Attributes:
        resets: how often the clock had to be learned anew: it went backwards or stepped by more than a second.
    """

    def __init__(self, tick_ns: float, wrap_ticks: int | None = None, alpha: float = 1e-4) -> None:
        self.resets = 0
        self._tick_ns = tick_ns  # as far as it is known
        self._wrap_ticks = wrap_ticks
        self._alpha = alpha
        self._latest: _Pair | None = None
        self._best: _Pair
        self._block_start_ns: int
        self._block_best: _Pair
        self._block_bests: Deque[_Pair] = deque(maxlen=_BLOCKS)  # of the blocks that are over
        self._late_since_ns: int | None = None
        self._stamp_ns = -_STEP_NS

    def to_host(self, ticks: int, arrival_ns: int) -> int:
        """Returns when the device's clock read ``ticks``, in nanoseconds of the host's monotonic clock.

        Args:
            ticks: the device's clock in the latest message.
            arrival_ns: when that message arrived; never before the message before it.

        Returns:
            A time that is strictly later than the one returned before, and not later than ``arrival_ns`` but for
            the nanosecond apiece that keeps messages with one and the same arrival apart.
        """
        pair = _Pair(self._unwrapped(ticks, arrival_ns), arrival_ns)
        if self._latest is None:
            self._learn_anew(pair)
        elif self._stepped(pair):
            self.resets += 1
            self._learn_anew(pair)
        else:
            self._learn(pair)
        self._latest = pair
        self._stamp_ns = max(self._expected_ns(self._best, pair), self._stamp_ns + 1)
        return self._stamp_ns

    def _learn_anew(self, pair: _Pair) -> None:
        self._block_bests.clear()
        self._begin_block(pair)
        self._best, self._late_since_ns = pair, None

    def _learn(self, pair: _Pair) -> None:
        if pair.arrival_ns - self._block_start_ns >= _BLOCK_NS:
            if self._best.arrival_ns < self._block_start_ns:
                self._best = self._block_best
            self._learn_tick()
            self._begin_block(pair)
        elif pair.arrival_ns <= self._expected_ns(self._block_best, pair):
            self._block_best = pair
        drift_ns = self._alpha * (pair.ticks - self._best.ticks) * self._tick_ns
        if pair.arrival_ns - self._expected_ns(self._best, pair) <= drift_ns:
            self._best = pair

    def _begin_block(self, pair: _Pair) -> None:
        self._block_start_ns, self._block_best = pair.arrival_ns, pair

    def _learn_tick(self) -> None:
        self._block_bests.append(self._block_best)
        bests = list(self._block_bests)
        lengths_ns = [
            (later.arrival_ns - earlier.arrival_ns) / (later.ticks - earlier.ticks)
            for earlier, later in zip(bests, bests[1:])
            if later.ticks > earlier.ticks
        ]
        if len(lengths_ns) == _BLOCKS - 1:
            self._tick_ns = statistics.median(lengths_ns)

    def _expected_ns(self, best: _Pair, pair: _Pair) -> int:
        """Returns when a message would have arrived with the delay of an earlier one."""
        return best.arrival_ns + round((pair.ticks - best.ticks) * self._tick_ns)

    def _unwrapped(self, ticks: int, arrival_ns: int) -> int:
        """Adds the whole turns of the counter that bring it nearest to what the host's clock expects."""
        if self._wrap_ticks is None or self._latest is None:
            return ticks
        passed = (ticks - self._latest.ticks) % self._wrap_ticks
        expected = (arrival_ns - self._latest.arrival_ns) / self._tick_ns
        turns = max(0, round((expected - passed) / self._wrap_ticks))
        return self._latest.ticks + passed + turns * self._wrap_ticks

    def _stepped(self, pair: _Pair) -> bool:
        """Tells a step of the device's clock from a delay of its messages.

        A clock that runs backwards or ahead of the host was set. One that is behind may be a backlog after a stall of
        the host, which the following messages make up for: it was set only if it stays behind.
        """
        delay_ns = pair.arrival_ns - self._expected_ns(self._best, pair)
        if (self._latest and pair.ticks < self._latest.ticks) or delay_ns < -_STEP_NS:
            return True
        if delay_ns <= _STEP_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = pair.arrival_ns
        return self._late_since_ns is not None and pair.arrival_ns - self._late_since_ns > _STEP_NS
