"""Where the time of a live prediction goes: stamps around each part of a live run, which the parts know nothing of."""

from __future__ import annotations

import time
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from runtime.aligner import Aligner, Window
from runtime.live import LiveSource
from runtime.loop import Outcome, Sink
from runtime.recognizer import Prediction, Recognizer
from sensors.events import Event, Sample
from sensors.sensor import Sensor

STAGES = ("wait", "driver", "buffer", "align", "features", "engine", "sink")
"""In their order:

``wait``: from the window's end to the arrival of the last sample that the window waited for; the sensors' rates and
their transport make it, not the computer.
``driver``: to its handing over, read whole, parsed, and its clock mapped.
``buffer``: to the loop's taking it, through the queue that puts all sensors in one order.
``align``: its way into the ring buffer, and the cutting of the window.
``features``: from the window to the network's inputs, with the smoothing and the threshold after it.
``engine``: the inference.
``sink``: until all sinks have taken the prediction.
"""


class StampedSource(LiveSource):
    """Notes when a sample was handed over and when the loop took it.

    Attributes:
        handed_ns: of the event that the loop took last; 0 for what is no sample.
        taken_ns: of the same.
    """

    def __init__(self, sensors: Sequence[Sensor]) -> None:
        super().__init__(sensors)
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
    """Notes when it was done with an event, ``fed_ns``."""

    fed_ns = 0

    def feed(self, event: Event) -> List[Window]:
        """Takes one event in."""
        windows = super().feed(event)
        self.fed_ns = time.monotonic_ns()
        return windows


class StampedRecognizer(Recognizer):
    """Notes when it began and ended with a window, ``began_ns`` and ``ended_ns``."""

    began_ns = ended_ns = 0

    def predict(self, *arguments: Any) -> Prediction:
        """Recognises one window."""
        self.began_ns = time.monotonic_ns()
        prediction = super().predict(*arguments)
        self.ended_ns = time.monotonic_ns()
        return prediction


class Stages(Sink):
    """Takes each prediction apart: makes the stamped parts of a run, and is the last one of its sinks.

    Attributes:
        times_ms: of each prediction the times of ``STAGES``. Those of windows that no sample closed, but the lateness
            budget or the loss of a sensor, are left out.
        left_out: how many these were.
    """

    def __init__(self) -> None:
        self.times_ms: List[Tuple[float, ...]] = []
        self.left_out = 0

    def source(self, sensors: Sequence[Sensor]) -> StampedSource:
        """The run's source of events."""
        self._source = StampedSource(sensors)
        return self._source

    def aligner(self, *arguments: Any) -> StampedAligner:
        """The run's aligner, of ``Aligner``'s arguments."""
        self._aligner = StampedAligner(*arguments)
        return self._aligner

    def recognizer(self, *arguments: Any) -> StampedRecognizer:
        """The run's recogniser, of ``Recognizer``'s arguments."""
        self._recognizer = StampedRecognizer(*arguments)
        return self._recognizer

    def outcome(self, outcome: Outcome) -> None:
        """Takes one prediction apart."""
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
