"""Merges sensors into one stream of events: a thread reads each sensor, and a queue orders what they deliver."""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from typing import Callable, Dict, Iterator, Mapping, Optional, Sequence, Set

from cosmo_runtime.sensors.events import Event, StateChange, Tick, host_ns
from cosmo_runtime.sensors.sensor import Sensor, SensorEnded, SensorError, SensorLost

_TICK_NS = 20_000_000
_READ_TIMEOUT_S = 0.1
_MIN_SILENCE_S = 0.5
_BACK_OFF_S = (0.1, 1.0)
_QUEUE_LENGTH = 2000
_HELD_UP_NS = 100_000_000  # five ticks; after more, the process was stopped or the machine is too busy
_DRAIN_NS = 3 * 10**9  # the longest time for draining sources before time goes on
_DRY_S = 0.002  # a source is drained if it delivers nothing for this long
_RELEASE_S = 4.0
_WAIT_S = 0.2
_SAY_AGAIN_S = 10.0

_log = logging.getLogger(__name__)


def connect_all(sensors: Sequence[Sensor]) -> Dict[str, SensorError]:
    """Connects sensors in parallel, so that it takes only as long as the slowest.

    A signal whose handler raises ends the wait at once.

    Returns:
        The errors by sensor name. Sensors that did connect stay connected.
    """
    errors: Dict[str, SensorError] = {}
    for name, error in _side_by_side({sensor.info.name: sensor.connect for sensor in sensors}).items():
        if not isinstance(error, SensorError):
            raise error
        errors[name] = error
    return errors


def disconnect_all(sensors: Sequence[Sensor]) -> None:
    """Releases sensors in parallel. Gives up on one that takes too long, so that the process can end."""
    _side_by_side({sensor.info.name: sensor.disconnect for sensor in sensors}, _RELEASE_S)


def _side_by_side(steps: Dict[str, Callable[[], None]], timeout_s: Optional[float] = None) -> Dict[str, Exception]:
    """Runs each step in a daemon thread. Returns the errors by name."""
    errors: Dict[str, Exception] = {}

    def run(name: str) -> None:
        try:
            steps[name]()
        except Exception as error:
            errors[name] = error

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in steps]
    for thread in threads:
        thread.start()
    end = math.inf if timeout_s is None else time.monotonic() + timeout_s
    for thread in threads:
        while thread.is_alive() and time.monotonic() < end:
            thread.join(_WAIT_S)  # Python sees a signal that came just before a wait only after it
    return {name: errors[name] for name in steps if name in errors}


class LiveSource:
    """The events of connected sensors, until it is stopped.

    A sensor that is unplugged, or silent for three of its periods (at least half a second), is reported ``lost`` and
    reconnected with back-off, while the others go on. Both are logged. ``put`` inserts the true activities of an
    emulated rig into the order of events.

    The process may be stopped for a while, or get no CPU time. The sensors' data then waits in the kernel. So after a
    late wake-up all sources are drained before time goes on. Otherwise windows would close without available data, and
    working sensors would be reported lost.

    Args:
        sensors: all sensors. They are connected, except for the missing ones.
        missing: by name, why a sensor could not be connected yet. It is ``lost`` until it is.
    """

    def __init__(self, sensors: Sequence[Sensor], missing: Optional[Mapping[str, str]] = None) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()  # a Queue takes seven times as long
        self._stop = threading.Event()
        self._states: Dict[str, str] = {}  # only the sensor's own thread touches its entry
        self._reading: Set[str] = set()  # the sensors that are connected
        self._undrained: Set[str] = set()  # those of them that may hold data from before a late wake-up
        self._overruns_said_at = -_SAY_AGAIN_S
        self._missing = dict(missing or {})
        self._threads = [threading.Thread(target=self._read, args=(sensor,), daemon=True) for sensor in sensors]

    def __enter__(self) -> LiveSource:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(timeout=5)

    def stop(self) -> None:
        """Ends ``events``. A signal handler may call this."""
        self._stop.set()

    @property
    def waiting(self) -> int:
        """How many events are waiting for the loop."""
        return self._queue.qsize()

    def put(self, event: Event) -> bool:
        """Queues an event. False if the recogniser is so far behind that there is no room."""
        if self._queue.qsize() >= _QUEUE_LENGTH:
            return False
        self._queue.put(event)
        return True

    def events(self) -> Iterator[Event]:
        """Yields events in the order of their arrival, and a tick at least every 20 ms.

        While events wait because the consumer was delayed, ticks carry the arrival of the last event. With the present
        time, windows would close without the waiting events. After a late wake-up there are no ticks until all sources
        are drained and the consumer has taken what they delivered. Ends when it is stopped, or when every sensor was a
        recording that has ended.
        """
        next_tick_ns, drain_until_ns = 0, 0
        looked_ns = time.monotonic_ns()
        while not self._stop.is_set() and (self._queue.qsize() or any(thread.is_alive() for thread in self._threads)):
            came_ns = -1
            try:
                event = self._queue.get(timeout=_TICK_NS * 1e-9)
            except queue.Empty:
                pass
            else:
                yield event
                came_ns = host_ns(event)
            now_ns = time.monotonic_ns()
            if now_ns - looked_ns > _HELD_UP_NS:
                self._undrained = set(self._reading)
                drain_until_ns = now_ns + _DRAIN_NS
            looked_ns = now_ns
            if now_ns < drain_until_ns:
                if self._undrained or self._queue.qsize():
                    continue
                drain_until_ns = 0
            now_ns = came_ns if self._queue.qsize() else now_ns
            if now_ns >= next_tick_ns:
                yield Tick(now_ns)
                next_tick_ns = now_ns + _TICK_NS

    def _read(self, sensor: Sensor) -> None:
        """Reads a connected sensor. Whenever it is lost, reconnects it with back-off."""
        shortest_s, longest_s = _BACK_OFF_S
        name, missing = sensor.info.name, sensor.info.name in self._missing
        connected, wait_s, ended = not missing, shortest_s, False
        if missing:
            self._tell(name, "lost", time.monotonic_ns(), self._missing[name])
        while not self._stop.is_set() and not ended:
            try:
                if not connected:
                    sensor.connect()
                    sensor.info.counts["reconnections"] += not missing
                    missing = False
                connected, wait_s = True, shortest_s
                self._reading.add(sensor.info.name)
                self._read_until_lost(sensor)
            except Exception as error:  # whatever happens to one sensor, the others go on
                if not isinstance(error, SensorError):
                    _log.exception("%s: its driver failed", sensor.info.device)
                self._tell(sensor.info.name, "lost", time.monotonic_ns(), str(error))
                ended = isinstance(error, SensorEnded)
            self._reading.discard(sensor.info.name)
            self._undrained.discard(sensor.info.name)
            sensor.disconnect()
            connected = False
            self._stop.wait(wait_s)
            wait_s = min(2 * wait_s, longest_s)

    def _read_until_lost(self, sensor: Sensor) -> None:
        name = sensor.info.name
        silence_s = max(_MIN_SILENCE_S, 3 / sensor.info.rate_hz)
        silent_s = 0.0
        listened_from = time.monotonic()
        while not self._stop.is_set():
            drains = name in self._undrained
            samples = sensor.read(_DRY_S if drains else _READ_TIMEOUT_S)
            now = time.monotonic()
            if samples:
                silent_s = 0.0
                self._tell(name, "ok", samples[0].arrival_ns)
            else:
                if drains:
                    self._undrained.discard(name)
                silent_s += min(now - listened_from, 2 * _READ_TIMEOUT_S)  # the process was stopped for longer
                if silent_s > silence_s:
                    raise SensorLost(f"{sensor.info.device}: silent for {silent_s:.1f} s")
            listened_from = now
            for sample in samples:
                if not self.put(sample):
                    self._count_overrun(sensor, now)

    def _count_overrun(self, sensor: Sensor, now: float) -> None:
        sensor.info.counts["queue_overruns"] += 1
        if now - self._overruns_said_at > _SAY_AGAIN_S:
            self._overruns_said_at = now
            _log.warning("this machine cannot keep up with the sensors: samples are lost (queue overruns)")

    def _tell(self, name: str, state: str, at_ns: int, reason: str = "") -> None:
        """Queues and logs a sensor's state if it has changed."""
        before = self._states.get(name)
        if before == state or not self.put(StateChange(name, at_ns, state, reason)):
            return
        self._states[name] = state
        if state == "lost":
            _log.warning("%s is lost: %s", name, reason)
        elif before:
            _log.warning("%s is back", name)
