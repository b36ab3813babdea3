"""Sensors as one stream of events: a thread reads each sensor, a queue puts what they bring in one order."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Dict, Iterator, Sequence

from sensors.events import Event, StateChange, Tick
from sensors.sensor import Sensor, SensorError, SensorLost

_TICK_S = 0.02
_READ_TIMEOUT_S = 0.1
_MIN_SILENCE_S = 0.5
_BACK_OFF_S = (0.1, 1.0)
_QUEUE_LENGTH = 2000


def connect_all(sensors: Sequence[Sensor]) -> Dict[str, SensorError]:
    """Connects sensors side by side, so that waiting for all takes no longer than for the slowest.

    Returns:
        What went wrong by sensor name; those that did connect stay connected.
    """
    errors: Dict[str, SensorError] = {}

    def connect(sensor: Sensor) -> None:
        try:
            sensor.connect()
        except SensorError as error:
            errors[sensor.info.name] = error

    threads = [threading.Thread(target=connect, args=(sensor,), daemon=True) for sensor in sensors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


class LiveSource:
    """Events of connected sensors until it is stopped.

    A sensor that is unplugged, or silent for three of its periods (half a second at least), is reported ``lost`` and
    connected again with back-off, while the others go on. ``put`` lets the truth of an emulated rig take its place in
    the order of events.
    """

    def __init__(self, sensors: Sequence[Sensor]) -> None:
        self._sensors = sensors
        self._queue: queue.Queue[Event] = queue.Queue(_QUEUE_LENGTH)
        self._stop = threading.Event()
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
        """Yields events in the order of their arrival, and a tick at least every 20 ms."""
        next_tick = time.monotonic()
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                yield self._queue.get(timeout=_TICK_S)
            if time.monotonic() >= next_tick:
                yield Tick(time.monotonic_ns())
                next_tick = time.monotonic() + _TICK_S

    def _read(self, sensor: Sensor) -> None:
        name = sensor.info.name
        silence_s = max(_MIN_SILENCE_S, 3 / sensor.info.rate_hz)
        connected = True
        while not self._stop.is_set():
            try:
                if not connected:
                    self._reconnect(sensor)
                self._read_until_lost(sensor, silence_s)
            except SensorError as error:
                self.put(StateChange(name, time.monotonic_ns(), "lost", str(error)))
            sensor.disconnect()
            connected = False

    def _reconnect(self, sensor: Sensor) -> None:
        wait_s, longest_s = _BACK_OFF_S
        while not self._stop.wait(wait_s):
            try:
                sensor.connect()
            except SensorError:
                wait_s = min(2 * wait_s, longest_s)
            else:
                sensor.info.counts["reconnections"] += 1
                return

    def _read_until_lost(self, sensor: Sensor, silence_s: float) -> None:
        name = sensor.info.name
        heard = time.monotonic()
        told_ok = False
        while not self._stop.is_set():
            samples = sensor.read(_READ_TIMEOUT_S)
            now = time.monotonic()
            if samples and not told_ok:
                self.put(StateChange(name, samples[0].arrival_ns, "ok"))
                told_ok = True
            for sample in samples:
                if not self.put(sample):
                    sensor.info.counts["queue_overruns"] += 1
            if samples:
                heard = now
            elif now - heard > silence_s:
                raise SensorLost(f"{sensor.info.device}: silent for {now - heard:.1f} s")
