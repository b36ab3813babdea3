"""Puts the sensors of a live run in step while it runs."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Deque, Iterable, Iterator, Mapping

from cosmo_runtime.runtime.recognition.loop import Sink
from cosmo_runtime.sensors.events import Correction, Event, Sample, host_ns
from cosmo_runtime.sensors.sensor import SensorInfo


class Corrector(Sink):
    """Takes a delay off a sensor's stamps once the run has told that the sensor is out of step.

    The change is an event among the others, between two windows: samples before it are as they were, those after it
    have the delay taken off, and whoever keeps samples moves them by as much when the event comes. Recordings keep the
    event and the stamps as they are after it. So a replay does the same at the same point.

    The delay belongs to the device, so a sensor that is lost and comes back keeps its correction. Whenever the run
    tells that a sensor is out of step again, it is corrected again.

    Args:
        infos: the sensors' infos, by name.
    """

    def __init__(self, infos: Mapping[str, SensorInfo]) -> None:
        self._infos = infos
        self._taken_off_ns = dict.fromkeys(infos, 0)
        self._waiting: Deque[Correction] = deque()
        self._now_ns = 0

    def through(self, events: Iterable[Event]) -> Iterator[Event]:
        """Passes events on with corrected stamps, and each correction as soon as it is decided."""
        for event in events:
            self._now_ns = max(self._now_ns, host_ns(event))
            yield self._corrected(event)
            while self._waiting:
                yield self._waiting.popleft()

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Decides what to take off each sensor's stamps, in all.

        A sensor that is behind has its delay taken off. One that is ahead gets back what was taken off before or by its
        configured latency, and if that is not enough, more is taken off all others. No stamp is later than measured.
        """
        configured_ns = {name: round(1e6 * info.latency_ms) for name, info in self._infos.items()}
        wanted_ns = {
            name: configured_ns[name] + self._taken_off_ns[name] + round(1e6 * behind_ms.get(name, 0.0))
            for name in self._infos
        }
        too_little_ns = min(0, *wanted_ns.values()) if behind_ms else 0
        for name, latency_ns in wanted_ns.items():
            taken_off_ns = latency_ns - too_little_ns - configured_ns[name]
            if taken_off_ns != self._taken_off_ns[name]:
                self._taken_off_ns[name] = taken_off_ns
                self._waiting.append(Correction(name, self._now_ns, taken_off_ns))

    def _corrected(self, event: Event) -> Event:
        if isinstance(event, Sample) and self._taken_off_ns.get(event.sensor):
            return replace(event, stamp_ns=event.stamp_ns - self._taken_off_ns[event.sensor])
        return event
