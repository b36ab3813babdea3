"""The recognition loop: events in, predictions out to the sinks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Mapping, Optional, Sequence

from runtime.aligner import Aligner, Window
from runtime.recognizer import Prediction, Recognizer
from runtime.relay import Relay
from runtime.truth import TruthLine
from sensors.events import Event, StateChange, Tick, Truth
from sensors.sensor import SensorInfo

_IDLE_NS = 250_000_000


@dataclass(frozen=True)
class Outcome:
    """A prediction with what was known around it.

    Attributes:
        prediction: of the window.
        window: what it was made from.
        sensors: by sensor of the rig: ``ok`` (it had enough data in the window), ``absent`` or ``lost``.
        middle_ns: the window's middle, by which it belongs to one true activity.
        truth: the true activity there; None when it is not known.
        inside: the window lies wholly inside one true activity.
    """

    prediction: Prediction
    window: Window
    sensors: Mapping[str, str]
    middle_ns: int
    truth: Optional[str]
    inside: bool


class Sink:
    """Takes what a run brings; each kind takes what it needs."""

    def event(self, event: Event) -> None:
        """Takes one event, in the order in which the aligner took it; ticks only if they closed one or more windows."""

    def outcome(self, outcome: Outcome) -> None:
        """Takes one prediction."""

    def idle(self) -> None:
        """Called when no window is due for a while: the time for slow work."""

    def close(self) -> None:
        """Ends the sink."""


def recognise(
    events: Iterable[Event],
    aligner: Aligner,
    recognizer: Recognizer,
    infos: Mapping[str, SensorInfo],
    sinks: Sequence[Sink],
    live: bool,
    successor: Callable[[], Optional[Recognizer]] = lambda: None,
) -> None:
    """Runs until the events end.

    Args:
        events: from live sensors or a recording.
        aligner: cuts them into windows.
        recognizer: answers each window, until another one follows.
        infos: of the sensors; gives the scale of depth images.
        sinks: get every event and every outcome.
        live: whether events carry the present time, so that waiting counts into the latency.
        successor: asked before each event for a recognizer that is to take over.
    """
    relay = Relay(aligner, recognizer)
    truths = TruthLine()
    lost: Dict[str, bool] = dict.fromkeys(infos, False)
    idle_at_ns = 0
    for event in events:
        if isinstance(event, Truth):
            truths.add(event)
        elif isinstance(event, StateChange):
            lost[event.sensor] = event.state == "lost"
        following = successor()
        if following:
            relay.hand_over(following)
        empty_before = relay.aligner.empty_windows
        due = relay.feed(event)
        if due or relay.aligner.empty_windows > empty_before or not isinstance(event, Tick):
            for sink in sinks:
                sink.event(event)
        for window, by in due:
            depth = infos.get("depth")
            waited_ns = time.monotonic_ns() - window.complete_ns if live else 0
            prediction = by.predict(window, depth.depth_scale_m if depth else 0.0, waited_ns)
            states = {
                name: "lost" if lost.get(name) else "ok" if present else "absent"
                for name, present in window.present.items()
                if name in infos
            }
            middle_ns = window.end_ns - by.spec.window_ns // 2
            inside = truths.throughout(window.end_ns - by.spec.window_ns, window.end_ns) is not None
            outcome = Outcome(prediction, window, states, middle_ns, truths.at(middle_ns), inside)
            for sink in sinks:
                sink.outcome(outcome)
            idle_at_ns = 0
        if (isinstance(event, Tick) or not live) and time.monotonic_ns() >= idle_at_ns:
            for sink in sinks:
                sink.idle()
            idle_at_ns = time.monotonic_ns() + _IDLE_NS


def keep(events: Iterable[Event], sinks: Sequence[Sink]) -> None:
    """Passes live events to the sinks without recognising anything."""
    idle_at_ns = 0
    for event in events:
        if not isinstance(event, Tick):
            for sink in sinks:
                sink.event(event)
        elif event.now_ns >= idle_at_ns:
            for sink in sinks:
                sink.idle()
            idle_at_ns = time.monotonic_ns() + _IDLE_NS
