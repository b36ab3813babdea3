"""Sensors that follow a script, and a listener."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Callable, Deque, List, Optional, Union

import numpy as np

from cosmo_runtime.runtime.sources.live import LiveSource
from cosmo_runtime.sensors.events import Event, Sample, StateChange
from cosmo_runtime.sensors.sensor import Sensor, SensorInfo


class Scripted(Sensor):
    """A sensor that brings 100 samples a second until it is told otherwise."""

    def __init__(self, name: str, rate_hz: float = 100) -> None:
        self.info = SensorInfo(name, f"scripted {name}", rate_hz)
        self.connects: Deque[Optional[Exception]] = deque()  # what the next calls of connect raise, if anything
        self.trouble: Union[Exception, str, None] = None  # what read raises, or "silent"
        self.connected = False
        self.connect_times: List[float] = []

    def connect(self) -> None:
        self.connect_times.append(time.monotonic())
        error = self.connects.popleft() if self.connects else None
        if error:
            raise error
        self.connected = True

    def read(self, timeout_s: float) -> List[Sample]:
        assert self.connected
        if isinstance(self.trouble, Exception):
            raise self.trouble
        if self.trouble == "silent":
            time.sleep(timeout_s)
            return []
        time.sleep(0.01)
        now_ns = time.monotonic_ns()
        self.info.counts["samples"] += 1
        return [Sample(self.info.name, now_ns - 1000, now_ns, np.zeros(9, np.float32))]

    def disconnect(self) -> None:
        self.connected = False


class Listener:
    """Reads a source in a thread of its own, as the recognition loop does, and lets tests wait for an event."""

    def __init__(self, source: LiveSource) -> None:
        self.events: List[Event] = []
        self._thread = threading.Thread(target=lambda: self.events.extend(source.events()), daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()

    def wait_for(self, found: Callable[[List[Event]], bool], timeout_s: float = 60) -> List[Event]:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            events = list(self.events)
            if found(events):
                return events
            time.sleep(0.01)
        raise AssertionError(f"did not come; the last events: {self.events[-5:]}")


def states(events: List[Event], name: str) -> List[str]:
    return [event.state for event in events if isinstance(event, StateChange) and event.sensor == name]


def samples_of(events: List[Event], name: str) -> List[Sample]:
    return [event for event in events if isinstance(event, Sample) and event.sensor == name]
