"""Stamps around each part of a live run, which show where the time goes. The parts do not know about them."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.recognition.recognizer import Prediction, Recognizer
from cosmo_runtime.runtime.sources.live import LiveSource
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Event, Sample
from cosmo_runtime.sensors.sensor import Sensor

STAGES = ("wait", "driver", "buffer", "align", "features", "engine", "sink")
"""The stages, in order:

``wait``: from the window's end to the arrival of the last sample that the window waited for. It depends on the sensors'
rates and their transport, not on the computer.
``driver``: until that sample is read, parsed, mapped to the host's clock and handed over.
``buffer``: until the loop takes it from the queue that puts all sensors in one order.
``align``: until it is in the ring buffer and the window is cut.
``features``: from the window to the network's inputs, plus smoothing and the threshold afterwards.
``engine``: the inference.
``sink``: until all sinks have taken the prediction.
"""


class StampedSource(LiveSource):
    """Notes when a sample was handed over and when the loop took it.

    Attributes:
        handed_ns: when the last event that the loop took was handed over; 0 if it is not a sample.
        taken_ns: when the loop took that event.
    """

    def __init__(self, sensors: Sequence[Sensor], missing: Optional[Mapping[str, str]] = None) -> None:
        super().__init__(sensors, missing)
        self.handed_ns = self.taken_ns = 0
        self._handed_ns: Dict[Tuple[str, int], int] = {}

    def put(self, event: Event) -> bool:
        """Queues an event."""
        if isinstance(event, Sample):
            self._handed_ns[event.sensor, event.stamp_ns] = time.monotonic_ns()
        return super().put(event)

    def events(self) -> Iterator[Event]:
        """Yields events in the order of their arrival."""
        for event in super().events():
            self.taken_ns = time.monotonic_ns()
            is_sample = isinstance(event, Sample)
            self.handed_ns = self._handed_ns.pop((event.sensor, event.stamp_ns), 0) if is_sample else 0  # type: ignore[union-attr]
            yield event


class StampedAligner(Aligner):
    """Notes when it finished an event, ``fed_ns``."""

    fed_ns = 0

    def feed(self, event: Event) -> List[Window]:
        """Takes one event in."""
        windows = super().feed(event)
        self.fed_ns = time.monotonic_ns()
        return windows


class StampedRecognizer(Recognizer):
    """Notes when it started and finished a window, ``began_ns`` and ``ended_ns``."""

    began_ns = ended_ns = 0

    def predict(self, *arguments: Any) -> Prediction:
        """Recognises one window."""
        self.began_ns = time.monotonic_ns()
        prediction = super().predict(*arguments)
        self.ended_ns = time.monotonic_ns()
        return prediction


class Stages(Sink):
    """Splits each prediction's latency into stages. It makes the stamped parts of a run, and is the last of its sinks.

    Attributes:
        times_ms: for each prediction, the times of ``STAGES``. Windows that were closed by the lateness budget or by
            the loss of a sensor, and not by a sample, are left out.
        left_out: the number of windows that were left out.
    """

    def __init__(self) -> None:
        self.times_ms: List[Tuple[float, ...]] = []
        self.left_out = 0

    def source(self, sensors: Sequence[Sensor], missing: Optional[Mapping[str, str]] = None) -> StampedSource:
        """The run's source of events."""
        self._source = StampedSource(sensors, missing)
        return self._source

    def aligner(self, *arguments: Any) -> StampedAligner:
        """The run's aligner, with the arguments of ``Aligner``."""
        self._aligner = StampedAligner(*arguments)
        return self._aligner

    def recognizer(self, *arguments: Any) -> StampedRecognizer:
        """The run's recogniser, with the arguments of ``Recognizer``."""
        self._recognizer = StampedRecognizer(*arguments)
        return self._recognizer

    def outcome(self, outcome: Outcome) -> None:
        """Splits one prediction's latency."""
        now_ns = time.monotonic_ns()
        source, aligner, recognizer = self._source, self._aligner, self._recognizer
        if not source.handed_ns:
            self.left_out += 1
            return
        ends = (outcome.window.end_ns, outcome.window.complete_ns, source.handed_ns, source.taken_ns, aligner.fed_ns)
        wait_driver_buffer_align = [after - before for before, after in zip(ends, ends[1:])]
        engine_ns = round(outcome.prediction.engine_ms * 1e6)
        features_ns = recognizer.ended_ns - recognizer.began_ns - engine_ns
        sink_ns = recognizer.began_ns - aligner.fed_ns + now_ns - recognizer.ended_ns  # the event's and the outcome's
        times_ns = (*wait_driver_buffer_align, features_ns, engine_ns, sink_ns)
        self.times_ms.append(tuple(ns * 1e-6 for ns in times_ns))
