"""Runs a sink behind a bounded queue in its own thread, so that it never delays a window."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import Any, Deque, Dict, List, Mapping, NamedTuple, Optional, Tuple

from cosmo_runtime.runtime.recognition.loop import EndOfRun, Outcome, Sink
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Event, Sample

DRAIN_S = 5.0
"""How long a live run waits at its end for a sink to process its queue."""

_MOST_BYTES = 64 * 10**6  # for samples, and as much again for windows
_MOST_EVENTS = 2000  # about 10 s of an IMU at 100 Hz, a camera at 30 and a radar at 20
_BATCH_S = 0.05  # waking for every event would cost far more CPU
_REST = 4  # after slow work, none is done for this many times its duration

_WORDS = {
    "event": "events",
    "outcome": "predictions",
    "silence": "silences",
    "empty": "empty windows",
    "outdated": "outdated windows",
    "refused": "refused windows",
    "out_of_step": "words on sensors out of step",
    "corrected": "words on corrected sensors",
}

_log = logging.getLogger(__name__)


class QueuedSink(Sink):
    """Passes calls on to a sink, in order, in its own thread.

    In a live run, a call that does not fit into the queue is dropped and counted. In a replay the caller waits until
    it fits, so that nothing is lost. Events have their own limit, so that a camera's frames never displace predictions.
    Methods that the sink does not define are not queued.

    An error of the sink is logged once and counted, and the next call is passed on as before. Only ``EndOfRun`` ends
    the run: the next call raises it.

    Args:
        sink: receives the calls. Only the thread uses it until this is closed.
        name: the sink's name in messages.
        live: drop what does not fit, instead of waiting for room.
        most_outcomes: how many calls other than events may wait; by default some 25 s of an answer at every frame.

    Attributes:
        name: the sink's name in messages.
        dropped: how many calls of each method did not reach the sink; for ``empty``, how many windows.
        errors: how many calls raised an error.
        abandoned: whether the sink did not process its queue within ``DRAIN_S`` of closing.
    """

    def __init__(self, sink: Sink, name: str, *, live: bool, most_outcomes: int = 400) -> None:
        self.name = name
        self.dropped: Counter[str] = Counter()
        self.errors = 0
        self.abandoned = False
        self._sink = sink
        self._live = live
        self._methods = {name for name in (*_WORDS, "idle") if sink.defines(name)}
        self._changed = threading.Condition()  # guards everything below
        self._calls: Deque[_Call] = deque()
        self._events, self._others = _Share(_MOST_EVENTS), _Share(most_outcomes)
        self._missed: Counter[str] = Counter()  # dropped since the last call that did fit
        self._end: Optional[EndOfRun] = None
        self._closing = False
        self._idle_queued = False
        self._rested_ns = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def event(self, event: Event) -> None:
        """Queues one event."""
        size = event.data.nbytes + len(event.raw) if isinstance(event, Sample) else 0
        self._put("event", event, size)

    def outcome(self, outcome: Outcome) -> None:
        """Queues one prediction."""
        self._put("outcome", outcome, _size(outcome.window))

    def empty(self, windows: int) -> None:
        """Queues a number of windows without data."""
        self._put("empty", windows)

    def outdated(self, window: Window) -> None:
        """Queues a window that came too late."""
        self._put("outdated", window, _size(window))

    def refused(self, window: Window) -> None:
        """Queues a window whose answer was invalid."""
        self._put("refused", window, _size(window))

    def silence(self, silence: Silence) -> None:
        """Queues the reason why there are no answers."""
        self._put("silence", silence)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Queues which sensors are out of step."""
        self._put("out_of_step", behind_ms)

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Queues what the run takes off each sensor's times."""
        self._put("corrected", taken_off_ms)

    def idle(self) -> None:
        """Lets the sink do slow work in its thread, at most a fifth of the time."""
        with self._changed:
            self._raise_end()
            if "idle" in self._methods and not self._idle_queued and time.monotonic_ns() >= self._rested_ns:
                self._idle_queued = True
                self._calls.append(_Call("idle", (), 0, None))
                self._changed.notify_all()

    def close(self) -> None:
        """Closes the sink when it has processed its queue, in a live run after at most ``DRAIN_S``."""
        with self._changed:
            self._tell_missed()
            self._closing = True
            self._changed.notify_all()
        self._thread.join(DRAIN_S if self._live else None)
        with self._changed:
            self.abandoned = self._thread.is_alive()
            if self.abandoned:
                for call in self._calls:
                    if call.share:
                        self.dropped[call.method] += call.weight
                self._calls.clear()
                _log.error("%s is still busy %g s after the end of the run; the rest is dropped", self.name, DRAIN_S)

    def defines(self, method: str) -> bool:
        """Whether the sink behind the queue does anything when this method is called."""
        return method in self._methods

    @property
    def waiting(self) -> int:
        """How many calls are waiting for the sink."""
        return len(self._calls)

    @property
    def trouble(self) -> Optional[str]:
        """Describes losses and errors; None if there are none."""
        troubles: List[str] = []
        if self.dropped:
            counts = ", ".join(f"{count} {_WORDS[method]}" for method, count in self.dropped.items())
            troubles.append(f"too slow, {counts} dropped")
        if self.errors:
            troubles.append("1 error" if self.errors == 1 else f"{self.errors} errors")
        return f"{self.name}: {'; '.join(troubles)}" if troubles else None

    def _put(self, method: str, argument: Any, size: int = 0) -> None:
        share = self._events if method == "event" else self._others
        with self._changed:
            self._raise_end()
            if method not in self._methods:
                return
            call = _Call(method, (argument,), size, share)
            while not share.fits(size):
                if self._live:
                    self._drop(call)
                    return
                self._changed.wait()
                self._raise_end()
            self._tell_missed()
            share.take(size)
            self._calls.append(call)
            if method != "event" or not self._live:
                self._changed.notify_all()

    def _raise_end(self) -> None:
        if self._end:
            raise EndOfRun(str(self._end)) from self._end

    def _drop(self, call: _Call) -> None:
        if not self.dropped:
            _log.warning("%s is too slow: what does not fit into its queue is dropped", self.name)
        self.dropped[call.method] += call.weight
        self._missed[call.method] += call.weight

    def _tell_missed(self) -> None:
        """Queues the report of dropped calls, in its place before the next call."""
        if self._missed:
            self._calls.append(_Call("missed", (self._missed,), 0, None))
            self._missed = Counter()

    def _run(self) -> None:
        pause_s = _BATCH_S if "event" in self._methods else None
        while True:
            with self._changed:
                if not self._calls and not self._closing:
                    self._changed.wait(pause_s)
                if self._calls:
                    call = self._calls.popleft()
                elif self._closing:
                    break
                else:
                    continue
            self._deliver(call)
            with self._changed:
                if call.share:
                    call.share.give_back(call.size)
                self._changed.notify_all()
        self._deliver(_Call("close", (), 0, None))

    def _deliver(self, call: _Call) -> None:
        began_ns = time.monotonic_ns()
        try:
            getattr(self._sink, call.method)(*call.arguments)
        except EndOfRun as end:
            with self._changed:
                self._end = end
                self._calls.clear()
        except Exception as error:
            self.errors += 1
            if self.errors == 1:
                _log.error("%s failed, and the run goes on: %r", self.name, error)
        if call.method == "idle":
            ended_ns = time.monotonic_ns()
            with self._changed:
                self._rested_ns = ended_ns + _REST * (ended_ns - began_ns)
                self._idle_queued = False


class _Share:
    """A queue's limits for one sort of calls: a number of calls, and a number of bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls = self._bytes = 0

    def fits(self, size: int) -> bool:
        """Whether there is room. A call that is larger than the limit fits if nothing else is waiting."""
        return not self._calls or (self._calls < self._most and self._bytes + size <= _MOST_BYTES)

    def take(self, size: int) -> None:
        self._calls += 1
        self._bytes += size

    def give_back(self, size: int) -> None:
        self._calls -= 1
        self._bytes -= size


class _Call(NamedTuple):
    method: str
    arguments: Tuple[Any, ...]
    size: int
    share: Optional[_Share]  # None for calls that are never dropped

    @property
    def weight(self) -> int:
        return int(self.arguments[0]) if self.method == "empty" else 1


def _size(window: Window) -> int:
    """The bytes in a window's arrays."""
    arrays: Dict[str, Any] = dict(window.arrays)
    return sum(
        sum(part.nbytes for part in array) if isinstance(array, list) else array.nbytes for array in arrays.values()
    )
