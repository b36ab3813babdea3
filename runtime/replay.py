"""A recording as a source of events, at its own pace or as fast as the machine can."""

from __future__ import annotations

import time
from typing import Dict, Iterator

from models.spec import ModelSpec
from runtime.loop import Outcome, Sink
from sensors.events import Event, Sample, StateChange, Tick
from sensors.recording import Recording


def is_same_run(recording: Recording, spec: ModelSpec) -> bool:
    """Whether a recording was made with the same windows, so that its own ticks close them as they did live."""
    return recording.metadata.get("windows") == windows_key(spec)


def windows_key(spec: ModelSpec) -> str:
    """What decides which windows a model cuts: modalities, window and hop."""
    return spec.model_dump_json(include={"modalities", "window_s", "hop_s"})


def replay(recording: Recording, spec: ModelSpec, paced: bool) -> Iterator[Event]:
    """Yields a recording's events.

    A recording made while recognising with the same windows holds the ticks that closed late windows; they are played
    as they are. Otherwise the clock is the samples' arrival.

    Args:
        recording: what to play.
        spec: of the model that will see it.
        paced: at the pace of the recording instead of as fast as possible.
    """
    own_ticks = is_same_run(recording, spec)
    began_ns, first_ns = time.monotonic_ns(), -1
    for event in recording.events():
        at_ns = _clock_ns(event)
        if paced and at_ns >= 0:
            first_ns = at_ns if first_ns < 0 else first_ns
            time.sleep(max(0, (at_ns - first_ns) - (time.monotonic_ns() - began_ns)) * 1e-9)
        if isinstance(event, Tick) and not own_ticks:
            continue
        if isinstance(event, Sample) and not own_ticks:
            yield Tick(event.arrival_ns)
        yield event


def _clock_ns(event: Event) -> int:
    if isinstance(event, Sample):
        return event.arrival_ns
    if isinstance(event, StateChange):
        return event.at_ns
    return event.now_ns if isinstance(event, Tick) else -1


class WindowCheck(Sink):
    """Compares each window with what the live run saw.

    Attributes:
        same: windows that are equal bit for bit.
        different: window ends of those that are not, or that the live run did not have.
        missing: windows of the live run that have not come yet.
    """

    def __init__(self, recording: Recording) -> None:
        self.same = 0
        self.different: list[int] = []
        self.missing: Dict[int, str] = {
            message["end_ns"]: message["digest"] for _, message in recording.messages("/windows")
        }

    def outcome(self, outcome: Outcome) -> None:
        """Compares one window."""
        if self.missing.pop(outcome.window.end_ns, None) == outcome.window.digest():
            self.same += 1
        else:
            self.different.append(outcome.window.end_ns)
