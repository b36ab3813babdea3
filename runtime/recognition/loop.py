"""The recognition loop: turns events into predictions, and passes them to the sinks."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Callable, Collection, Dict, Iterable, Mapping, Optional, Sequence

from cosmo_runtime.models.spec import ModelSpec
from cosmo_runtime.runtime.engines.answers import BadAnswer
from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.runtime.recognition.backlog import Backlog
from cosmo_runtime.runtime.recognition.recognizer import Prediction, Recognizer
from cosmo_runtime.runtime.recognition.relay import Relay
from cosmo_runtime.runtime.recognition.silence import Silence, SilenceWatch, explain
from cosmo_runtime.runtime.selection.policy import Selection
from cosmo_runtime.runtime.sync.watch import StepWatch, corrected_in_words, in_words
from cosmo_runtime.runtime.windows.aligner import Aligner, Window
from cosmo_runtime.sensors.events import Correction, Event, Sample, StateChange, Tick, Truth, host_ns
from cosmo_runtime.sensors.sensor import SensorInfo

NOT_WORN = "not worn"
ASLEEP = "asleep"
WORKING = ("ok", NOT_WORN, ASLEEP)
"""States of a working sensor. An IMU on the table is not a fault, nor is a sensor that may rest."""

_IDLE_NS = 250_000_000
_TRUTH_KEPT_NS = 120 * 10**9  # no window is answered so long after its time

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A prediction, its window and the truth.

    Attributes:
        prediction: the window's prediction.
        window: the model's input.
        sensors: each sensor's state: ``ok`` (it had enough data in the window), ``not worn``, ``asleep``, ``absent`` or
            ``lost``.
        middle_ns: the window's midpoint.
        truth: the true activity at the midpoint; None if it is unknown.
        inside: whether one true activity fills the window.
        hop_ns: time from window to window of the model that answered.
    """

    prediction: Prediction
    window: Window
    sensors: Mapping[str, str]
    middle_ns: int
    truth: Optional[str]
    inside: bool
    hop_ns: int


class EndOfRun(Exception):
    """A sink raises this to end the run, for example because its reader is gone."""


class Sink:
    """Receives the events and results of a run. Each sink defines the methods that it needs.

    The loop calls sinks in its own thread. Put a sink that may be slow or fail into a ``QueuedSink``.
    """

    def event(self, event: Event) -> None:
        """Receives one event, in the aligner's order. Of the ticks, only those that closed a window."""

    def outcome(self, outcome: Outcome) -> None:
        """Receives one prediction."""

    def empty(self, windows: int) -> None:
        """Receives a number of windows for which no sensor had enough data."""

    def outdated(self, window: Window) -> None:
        """Receives a window that is not answered because the run is too far behind."""

    def refused(self, window: Window) -> None:
        """Receives a window for which the model gave an invalid answer, such as NaN."""

    def silence(self, silence: Silence) -> None:
        """Receives the reason why there are no answers, and again every ten seconds while there are none."""

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Receives the delay of each sensor that is out of step, in milliseconds behind the others.

        Called when that changes; empty when all are in step.
        """

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Receives how many milliseconds the run takes off each sensor's times, because it was out of step.

        Called when that changes, and ``out_of_step`` with nothing just before it.
        """

    def missed(self, counts: Mapping[str, int]) -> None:
        """Receives how many calls were dropped before the next one, because this sink's queue was full.

        Args:
            counts: calls by method; for ``empty``, the number of windows.
        """

    def idle(self) -> None:
        """Called a few times a second, soon after a window if one comes, for work such as drawing."""

    def close(self) -> None:
        """Closes the sink."""

    def defines(self, method: str) -> bool:
        """Whether the sink does anything when this method is called."""
        return getattr(type(self), method) is not getattr(Sink, method)


class Together(Sink):
    """Several sinks as one. Each call goes to all of them, in their order."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self._of_events = [sink for sink in sinks if sink.defines("event")]  # hundreds a second

    def event(self, event: Event) -> None:
        """Passes an event on."""
        call_all(self._of_events, "event", event)

    def outcome(self, outcome: Outcome) -> None:
        """Passes a prediction on."""
        call_all(self._sinks, "outcome", outcome)

    def empty(self, windows: int) -> None:
        """Passes on how many windows were empty."""
        call_all(self._sinks, "empty", windows)

    def outdated(self, window: Window) -> None:
        """Passes on a window that came too late."""
        call_all(self._sinks, "outdated", window)

    def refused(self, window: Window) -> None:
        """Passes on a window whose answer was invalid."""
        call_all(self._sinks, "refused", window)

    def silence(self, silence: Silence) -> None:
        """Passes on why there are no answers."""
        call_all(self._sinks, "silence", silence)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Passes on which sensors are out of step."""
        call_all(self._sinks, "out_of_step", behind_ms)

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Passes on what the run takes off."""
        call_all(self._sinks, "corrected", taken_off_ms)

    def missed(self, counts: Mapping[str, int]) -> None:
        """Passes on what was dropped."""
        call_all(self._sinks, "missed", counts)

    def idle(self) -> None:
        """Lets all work."""
        call_all(self._sinks, "idle")

    def close(self) -> None:
        """Closes all."""
        call_all(self._sinks, "close")

    def defines(self, method: str) -> bool:
        """Whether any of them does."""
        return any(sink.defines(method) for sink in self._sinks)


def call_all(targets: Iterable[object], method: str, *arguments: object) -> None:
    """Calls a method of all targets, even if one fails, so that a full disk silences no alarm.

    Raises:
        Exception: the first error of a target, after all were called.
    """
    failed: Optional[Exception] = None
    for target in targets:
        try:
            getattr(target, method)(*arguments)
        except Exception as error:
            failed = failed or error
    if failed:
        raise failed


def recognise(
    events: Iterable[Event],
    aligner: Aligner,
    recognizer: Recognizer,
    infos: Mapping[str, SensorInfo],
    sinks: Sequence[Sink],
    live: bool,
    successor: Callable[[], Optional[Recognizer]] = lambda: None,
    selection: Optional[Selection] = None,
) -> None:
    """Runs until the events end.

    Args:
        events: from live sensors or a recording.
        aligner: cuts events into windows.
        recognizer: answers each window, until a successor takes over.
        infos: the sensors' infos.
        sinks: receive every event and every outcome.
        live: whether events carry the present time. Then waiting counts as latency, and windows that are too old are
            dropped.
        successor: called before each event. It may return a recognizer to take over.
        selection: lets sensors sleep; None keeps all of them awake.

    Raises:
        EndOfRun: a sink ended the run.
    """
    relay = Relay(aligner, recognizer)
    truths = TruthLine()
    watch = SilenceWatch(infos, patience_s=aligner.spec.window_s)
    steps = StepWatch(infos)
    backlog = Backlog(aligner.lateness_ns)
    sink = Together(sinks)
    idling = _Idling(sink)
    taken_off_ms: Dict[str, float] = {}
    answered = False
    now_ns = 0
    for event in events:
        now_ns = max(now_ns, host_ns(event))
        if isinstance(event, Truth):
            truths.add(event)
            truths.forget(event.stamp_ns - _TRUTH_KEPT_NS)
        elif isinstance(event, StateChange):
            watch.change(event)
            steps.change(event)
        elif isinstance(event, Correction):
            steps.correct(event)
            taken_off_ms[event.sensor] = event.taken_off_ns / 1e6
            _tell_correction(event, taken_off_ms, sink)
        following = successor()
        if following:
            relay.hand_over(following)
        aligner, empty_before = relay.aligner, relay.aligner.empty_windows
        windows = relay.feed(event)
        empty = aligner.empty_windows - empty_before
        if windows or empty or not isinstance(event, Tick):
            sink.event(event)
        if empty:
            sink.empty(empty)
        for window, answering in windows:
            if live and backlog.drops(window.end_ns):
                sink.outdated(window)
                continue
            try:
                prediction = _predict(answering, window, selection, live)
            except BadAnswer as error:
                _log.warning("no prediction for a window: %s", error)
                sink.refused(window)
                continue
            states = {name: _state(name, prediction, watch) for name in window.present if name in infos}
            sink.outcome(_outcome(prediction, window, states, truths, answering.spec))
            watch.answered()
            idling.run_soon()
            answered = True
        if isinstance(event, Sample):
            steps.take(aligner.kept(event))  # only now, because no window may wait for it
        behind_ms = steps.look(now_ns) if windows or empty else None
        if behind_ms is not None:
            _log.warning("%s", in_words(behind_ms))
            sink.out_of_step(behind_ms)
        ticks = isinstance(event, Tick)
        due = (ticks or not live) and idling.due()  # a replay may have no ticks
        if (ticks or due or isinstance(event, StateChange)) and watch.should_report():
            _report(explain(relay.aligner, infos, watch.lost, now_ns, backlog.behind), sink)
        if due:
            idling.run()
    if not answered:
        sink.silence(explain(relay.aligner, infos, watch.lost, now_ns, backlog.behind))


def pass_on(events: Iterable[Event], sensors: Collection[str], sinks: Sequence[Sink]) -> None:
    """Passes live events to the sinks without recognising anything."""
    watch = SilenceWatch(sensors)
    sink = Together(sinks)
    idling = _Idling(sink)
    for event in events:
        if isinstance(event, StateChange):
            watch.change(event)
        if isinstance(event, Tick):
            if idling.due():
                idling.run()
        else:
            sink.event(event)
        if watch.all_lost and watch.should_report():
            _log.warning("nothing is recorded, because all sensors are lost: %s", ", ".join(watch.lost))


def _predict(recognizer: Recognizer, window: Window, selection: Optional[Selection], live: bool) -> Prediction:
    asleep = selection.asleep(window) if selection else frozenset()
    waited_ns = time.monotonic_ns() - window.complete_ns if live else 0
    prediction = recognizer.predict(window, waited_ns, asleep, selection.doubt if selection else 0.0)
    if selection:
        selection.learn(prediction)
    return prediction


def _outcome(
    prediction: Prediction, window: Window, states: Mapping[str, str], truths: TruthLine, spec: ModelSpec
) -> Outcome:
    """A prediction with what else is known about its window."""
    middle_ns = window.end_ns - spec.window_ns // 2
    inside = truths.throughout(window.end_ns - spec.window_ns, window.end_ns) is not None
    return Outcome(prediction, window, states, middle_ns, truths.at(middle_ns), inside, spec.hop_ns)


def _state(name: str, prediction: Prediction, watch: SilenceWatch) -> str:
    if name in watch.lost:
        return "lost"
    if name in prediction.unworn:
        return NOT_WORN
    if name in prediction.asleep:
        return ASLEEP
    return "ok" if prediction.present[name] else "absent"


def _report(silence: Silence, sink: Sink) -> None:
    _log.warning("nothing is recognised: %s", silence.reason)
    sink.silence(silence)


def _tell_correction(correction: Correction, taken_off_ms: Mapping[str, float], sink: Sink) -> None:
    _log.warning("%s", corrected_in_words(correction))
    sink.out_of_step({})
    sink.corrected(dict(taken_off_ms))


class _Idling:
    """Lets a sink do slow work soon after a window, or else four times a second; no more often if windows are."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._next_ns = self._soon_again_ns = 0

    def run_soon(self) -> None:
        """Makes it due at once, unless another window made it run a moment ago."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._soon_again_ns:
            self._next_ns, self._soon_again_ns = 0, now_ns + _IDLE_NS

    def due(self) -> bool:
        """Whether the sink did not work a moment ago."""
        return time.monotonic_ns() >= self._next_ns

    def run(self) -> None:
        """Lets the sink work."""
        self._next_ns = time.monotonic_ns() + _IDLE_NS
        self._sink.idle()
