"""Maps a device's clock to the host's from arrival times alone.

E. Olson, "A passive solution to the sensor synchronization problem", IROS 2010. A message can only be late, never
early: of all pairs (device time, arrival) the one with the least delay is the best, and it is kept until another is
better than it, given that the two clocks may have drifted apart meanwhile. What remains is the least delay itself,
which no passive method can see.
"""

from __future__ import annotations

_STEP_NS = 1_000_000_000


class DeviceClock:
    """One device's clock, seen from the host.

    Args:
        tick_ns: nominal length of a tick of the device's clock or counter.
        wrap_ticks: where the counter starts at 0 again; None if it never does. Must be long against a host stall.
        alpha: the fastest drift between the clocks that is followed, as a ratio.

    Attributes:
        resets: how often the clock had to be learned anew: it went backwards or stepped by more than a second.
    """

    def __init__(self, tick_ns: float, wrap_ticks: int | None = None, alpha: float = 1e-4) -> None:
        self.resets = 0
        self._tick_ns = tick_ns
        self._wrap_ticks = wrap_ticks
        self._alpha = alpha
        self._ticks = 0  # of the latest message, unwrapped
        self._arrival_ns = 0
        self._best_ticks = 0  # of the message with the least delay
        self._best_arrival_ns: int | None = None
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
        ticks = self._unwrapped(ticks, arrival_ns)
        if self._best_arrival_ns is None:
            estimate_ns = self._learn(ticks, arrival_ns)
        else:
            estimate_ns = self._best_arrival_ns + self._elapsed_ns(ticks)
            if self._stepped(ticks, arrival_ns - estimate_ns, arrival_ns):
                self.resets += 1
                estimate_ns = self._learn(ticks, arrival_ns)
            elif arrival_ns - estimate_ns <= self._alpha * self._elapsed_ns(ticks):
                estimate_ns = self._learn(ticks, arrival_ns)
        self._ticks, self._arrival_ns = ticks, arrival_ns
        self._stamp_ns = max(estimate_ns, self._stamp_ns + 1)
        return self._stamp_ns

    def _learn(self, ticks: int, arrival_ns: int) -> int:
        self._best_ticks, self._best_arrival_ns, self._late_since_ns = ticks, arrival_ns, None
        return arrival_ns

    def _elapsed_ns(self, ticks: int) -> int:
        return round((ticks - self._best_ticks) * self._tick_ns)

    def _unwrapped(self, ticks: int, arrival_ns: int) -> int:
        """Adds the whole turns of the counter that bring it nearest to what the host's clock expects."""
        if self._wrap_ticks is None or self._best_arrival_ns is None:
            return ticks
        passed = (ticks - self._ticks) % self._wrap_ticks
        expected = (arrival_ns - self._arrival_ns) / self._tick_ns
        turns = max(0, round((expected - passed) / self._wrap_ticks))
        return self._ticks + passed + turns * self._wrap_ticks

    def _stepped(self, ticks: int, delay_ns: int, arrival_ns: int) -> bool:
        """Tells a step of the device's clock from a delay of its messages.

        A clock that runs backwards or ahead of the host was set. One that is behind may be a backlog after a stall of
        the host, which the following messages make up for: it was set only if it stays behind.
        """
        if ticks < self._ticks or delay_ns < -_STEP_NS:
            return True
        if delay_ns <= _STEP_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = arrival_ns
        return self._late_since_ns is not None and arrival_ns - self._late_since_ns > _STEP_NS
