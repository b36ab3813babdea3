"""A recording as a source of events, at its own pace or as fast as the machine can."""

from __future__ import annotations

import math
import time
from typing import Callable, Collection, Dict, Iterator

from models.spec import ModelSpec
from runtime.loop import Outcome, Sink
from sensors.events import Event, Sample, StateChange, Tick, host_ns
from sensors.recording import Recording, RecordingError

_SLICE_S = 0.1


def is_same_run(recording: Recording, names: Collection[str], key: str) -> bool:
    """Whether the recorded run cut the same windows from the same sensors; then its own ticks close them again."""
    return recording.metadata.get("windows") == key and set(names) == set(recording.infos)


def windows_key(spec: ModelSpec, lateness_ms: float) -> str:
    """What decides which windows a run cuts, as its recording keeps it in the metadata ``windows``."""
    return f"{spec.model_dump_json(include={'modalities', 'window_s', 'hop_s'})} lateness {lateness_ms:g} ms"


def replay(
    recording: Recording,
    names: Collection[str],
    own_ticks: bool,
    paced: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Yields a recording's events.

    Args:
        recording: what to play.
        names: the sensors to play; the others are left out.
        own_ticks: let the ticks in the recording, those that closed late windows, be the clock; only for the same run.
            Otherwise the clock is the samples' arrival.
        paced: at the pace of the recording instead of as fast as possible.
        stopped: asked while a paced replay waits; it waits no longer then.
    """
    began_ns, first_ns = time.monotonic_ns(), -1
    for event in recording.events():
        if isinstance(event, (Sample, StateChange)) and event.sensor not in names:
            continue
        if isinstance(event, Sample):
            recording.infos[event.sensor].counts["samples"] += 1
        at_ns = host_ns(event)
        if paced and at_ns >= 0:
            first_ns = at_ns if first_ns < 0 else first_ns
            _sleep_until(began_ns + at_ns - first_ns, stopped)
        if isinstance(event, Tick) and not own_ticks:
            continue
        if isinstance(event, Sample) and not own_ticks:
            yield Tick(event.arrival_ns)
        yield event


def _sleep_until(due_ns: int, stopped: Callable[[], bool]) -> None:
    """Sleeps in slices: Python goes on with a sleep that a signal interrupted, once the signal is handled."""
    left_s = (due_ns - time.monotonic_ns()) * 1e-9
    while left_s > 0 and not stopped():
        time.sleep(min(left_s, _SLICE_S))
        left_s = (due_ns - time.monotonic_ns()) * 1e-9


class WindowCheck(Sink):
    """Compares each window with what the live run saw, as far as that is known: a recording may be cut before.

    Attributes:
        same: windows that are equal bit for bit.
        different: window ends of those that are not, or that the live run did not have.
        missing: windows of the live run that have not come yet.
    """

    def __init__(self, recording: Recording) -> None:
        self.same = 0
        self.different: list[int] = []
        self.missing: Dict[int, str] = {}
        whole = not recording.cut
        try:
            for _, message in recording.messages("/windows"):
                self.missing[message["end_ns"]] = message["digest"]
        except RecordingError:  # damaged there, which the replay says when it comes to it
            whole = False
        self._known_to_ns = math.inf if whole else max(self.missing, default=-1)

    def outcome(self, outcome: Outcome) -> None:
        """Compares one window."""
        if outcome.window.end_ns > self._known_to_ns:
            return
        if self.missing.pop(outcome.window.end_ns, None) == outcome.window.digest():
            self.same += 1
        else:
            self.different.append(outcome.window.end_ns)
