"""Maps a device's clock to the host's from arrival times alone.

The method is that of E. Olson, "A passive solution to the sensor synchronization problem", IROS 2010. A message can be
late but never early, so the best pair (device time, arrival) is the one with the least delay. It stays in use until a
better one comes, allowing for the drift between the two clocks. The least delay itself remains: no passive method can
see it.

Olson assumes a bound on the drift. This module does not. If no pair in a whole block of a few seconds came near the
best one, the device's clock paused or runs slower than expected, so the block's own best pair replaces it. The length
of a tick is estimated from the best pairs of the latest blocks. The median over them ignores one pause or step.

Some devices have no usable clock: it stands still, or its steps are longer than the time between two messages. Their
messages are stamped on arrival, and the log says so.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from typing import Deque, NamedTuple

from cosmo_runtime.sensors.sensor import SensorInfo

_STEP_NS = 1_000_000_000
_BLOCK_NS = 5_000_000_000  # long enough for one message without delay, even at 10 Hz on a host that stalls
_BLOCKS = 4  # three steps between them: if one is spoilt, the other two agree
_DRIFT = 1e-4  # ratio of the clocks that is followed at once; faster drift takes a few blocks
_WATCHED = 32  # messages that decide whether the clock moves with them
_STOOD = 3  # a clock is coarse after this many messages without a new reading: in a row, or ...
_STOOD_SHARE = 0.3  # ... together more than this share of the watched messages

_log = logging.getLogger(__name__)


class _Pair(NamedTuple):
    """A message: the unwrapped reading of the device's clock, and its arrival."""

    ticks: int
    arrival_ns: int


class DeviceClock:
    """One device's clock, seen from the host.

    It counts in ``info.counts``: ``clock_resets``, how often the mapping started over because the clock went backwards
    or stepped by more than a second; and ``arrival_stamps``, messages stamped on arrival because the clock is coarse.

    Args:
        info: the device's.
        tick_ns: nominal length of a tick of the device's clock or counter.
        wrap_ticks: where the counter returns to 0; None if it never does. Must be much longer than a host stall.
    """

    def __init__(self, info: SensorInfo, tick_ns: float, wrap_ticks: int | None = None) -> None:
        self._info = info
        self._tick_ns = tick_ns  # the best estimate so far
        self._wrap_ticks = wrap_ticks
        self._reading: int | None = None  # the device's clock in the previous message, not unwrapped
        self._stood: Deque[bool] = deque(maxlen=_WATCHED)  # for each message, whether the clock stood still
        self._coarse = False
        self._latest: _Pair | None = None
        self._best: _Pair
        self._block_start_ns: int
        self._block_best: _Pair
        self._block_bests: Deque[_Pair] = deque(maxlen=_BLOCKS)  # of the finished blocks
        self._late_since_ns: int | None = None
        self._stamp_ns = -_STEP_NS

    def to_host(self, ticks: int, arrival_ns: int) -> int:
        """Returns when the device's clock read ``ticks``, in nanoseconds of the host's monotonic clock.

        Args:
            ticks: the device's clock in the latest message.
            arrival_ns: when that message arrived; not earlier than the previous one.

        Returns:
            A time strictly later than the previous one. It is not later than ``arrival_ns``, except for the nanosecond
            that separates messages with the same arrival.
        """
        self._judge(ticks)
        stamp_ns = arrival_ns if self._coarse else self._mapped(ticks, arrival_ns)
        self._info.counts["arrival_stamps"] += self._coarse
        self._stamp_ns = max(stamp_ns, self._stamp_ns + 1)
        return self._stamp_ns

    def _judge(self, ticks: int) -> None:
        """Decides whether the clock is coarse. It is used again once it has moved with every message for a while."""
        if self._reading is not None:
            self._stood.append(ticks == self._reading)
        self._reading = ticks
        stood = sum(self._stood)
        if self._coarse:
            self._coarse = stood > 0
            if not self._coarse:
                self._latest = None
                _log.info("%s: its clock moves with its messages again and is used", self._info.device)
        elif stood >= _STOOD and (stood > _STOOD_SHARE * len(self._stood) or all(list(self._stood)[-_STOOD:])):
            self._coarse = True
            _log.warning(
                "%s: its clock stands still, or its steps are longer than the time between messages; messages are"
                " stamped when they arrive",
                self._info.device,
            )

    def _mapped(self, ticks: int, arrival_ns: int) -> int:
        """Returns when the device's clock read ``ticks``, and learns from it."""
        pair = _Pair(self._unwrapped(ticks, arrival_ns), arrival_ns)
        if self._latest is None:
            self._start_over(pair)
        elif self._stepped(pair):
            self._info.counts["clock_resets"] += 1
            self._start_over(pair)
        else:
            self._learn(pair)
        self._latest = pair
        return self._expected_ns(self._best, pair)

    def _start_over(self, pair: _Pair) -> None:
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
        drift_ns = _DRIFT * (pair.ticks - self._best.ticks) * self._tick_ns
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
        """Returns when a message would have arrived if its delay were that of an earlier one."""
        return best.arrival_ns + round((pair.ticks - best.ticks) * self._tick_ns)

    def _unwrapped(self, ticks: int, arrival_ns: int) -> int:
        """Adds whole turns of the counter, so that it comes nearest to what the host's clock expects."""
        if self._wrap_ticks is None or self._latest is None:
            return ticks
        passed = (ticks - self._latest.ticks) % self._wrap_ticks
        expected = (arrival_ns - self._latest.arrival_ns) / self._tick_ns
        turns = max(0, round((expected - passed) / self._wrap_ticks))
        return self._latest.ticks + passed + turns * self._wrap_ticks

    def _stepped(self, pair: _Pair) -> bool:
        """Distinguishes a step of the device's clock from a delay of its messages.

        A clock that runs backwards or ahead of the host was set. One that is behind may only show a backlog after the
        host stalled, which the next messages make up for. It was set only if it stays behind.
        """
        delay_ns = pair.arrival_ns - self._expected_ns(self._best, pair)
        if (self._latest and pair.ticks < self._latest.ticks) or delay_ns < -_STEP_NS:
            return True
        if delay_ns <= _STEP_NS:
            self._late_since_ns = None
        elif self._late_since_ns is None:
            self._late_since_ns = pair.arrival_ns
        return self._late_since_ns is not None and pair.arrival_ns - self._late_since_ns > _STEP_NS
