"""Sensors as one stream of events: a thread reads each sensor, a queue puts what they bring in one order."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Iterator, Sequence

from sensors.events import Event, StateChange, Tick, host_ns
from sensors.sensor import Sensor, SensorEnded, SensorError, SensorLost

_TICK_NS = 20_000_000
_READ_TIMEOUT_S = 0.1
_MIN_SILENCE_S = 0.5
_BACK_OFF_S = (0.1, 1.0)
_QUEUE_LENGTH = 2000

_log = logging.getLogger(__name__)


def connect_all(sensors: Sequence[Sensor]) -> Dict[str, SensorError]:
    """Connects sensors side by side, so that waiting for all takes no longer than for the slowest.

    Returns:
        What went wrong by sensor name; those that did connect stay connected.
    """
    errors: Dict[str, SensorError] = {}
    with ThreadPoolExecutor(max(1, len(sensors))) as pool:
        connecting = {sensor.info.name: pool.submit(sensor.connect) for sensor in sensors}
    for name, attempt in connecting.items():
        try:
            attempt.result()
        except SensorError as error:
            errors[name] = error
    return errors


class LiveSource:
    """Events of connected sensors until it is stopped.

    A sensor that is unplugged, or silent for three of its periods (half a second at least), is reported ``lost`` and
    connected again with back-off, while the others go on. ``put`` lets the truth of an emulated rig take its place in
    the order of events.
    """

    def __init__(self, sensors: Sequence[Sensor]) -> None:
        self._queue: queue.Queue[Event] = queue.Queue(_QUEUE_LENGTH)
        self._stop = threading.Event()
        self._states: Dict[str, str] = {}  # each touched by its sensor's thread only
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
        """Ends ``events``; may be called from a signal handler."""
        self._stop.set()

    def put(self, event: Event) -> bool:
        """Queues an event; False when the recogniser is so far behind that there is no room."""
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            return False
        return True

    def events(self) -> Iterator[Event]:
        """Yields events in the order of their arrival, and a tick at least every 20 ms.

        While events wait, because whoever takes them was held up, ticks tell the time at which the last one came: at
        the present time windows would close without what waits. Ends when it is stopped, or when every sensor was a
        recording that has ended.
        """
        next_tick_ns = 0
        while not self._stop.is_set() and (self._queue.qsize() or any(thread.is_alive() for thread in self._threads)):
            came_ns = -1
            with contextlib.suppress(queue.Empty):
                event = self._queue.get(timeout=_TICK_NS * 1e-9)
                yield event
                came_ns = host_ns(event)
            now_ns = came_ns if self._queue.qsize() else time.monotonic_ns()
            if now_ns >= next_tick_ns:
                yield Tick(now_ns)
                next_tick_ns = now_ns + _TICK_NS

    def _read(self, sensor: Sensor) -> None:
        """Reads a connected sensor; whenever it is lost, connects it again with back-off and reads on."""
        shortest_s, longest_s = _BACK_OFF_S
        connected, wait_s, ended = True, shortest_s, False
        while not self._stop.is_set() and not ended:
            try:
                if not connected:
                    sensor.connect()
                    sensor.info.counts["reconnections"] += 1
                connected, wait_s = True, shortest_s
                self._read_until_lost(sensor)
            except Exception as error:  # whatever befalls one sensor, the others go on
                if not isinstance(error, SensorError):
                    _log.exception("%s: its driver failed", sensor.info.device)
                self._tell(sensor.info.name, "lost", time.monotonic_ns(), str(error))
                ended = isinstance(error, SensorEnded)
            sensor.disconnect()
            connected = False
            self._stop.wait(wait_s)
            wait_s = min(2 * wait_s, longest_s)

    def _read_until_lost(self, sensor: Sensor) -> None:
        silence_s = max(_MIN_SILENCE_S, 3 / sensor.info.rate_hz)
        heard = time.monotonic()
        while not self._stop.is_set():
            samples = sensor.read(_READ_TIMEOUT_S)
            now = time.monotonic()
            if samples:
                heard = now
                self._tell(sensor.info.name, "ok", samples[0].arrival_ns)
            elif now - heard > silence_s:
                raise SensorLost(f"{sensor.info.device}: silent for {now - heard:.1f} s")
            for sample in samples:
                if not self.put(sample):
                    sensor.info.counts["queue_overruns"] += 1

    def _tell(self, name: str, state: str, at_ns: int, reason: str = "") -> None:
        """Queues a sensor's state when it is another one than before."""
        if self._states.get(name) != state and self.put(StateChange(name, at_ns, state, reason)):
            self._states[name] = state
