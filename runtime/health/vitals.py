"""The present health of a run: windows, latency, sensors, queues. It only counts, so it delays nobody."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from cosmo_runtime.runtime.alarms.clips import ClipRing
from cosmo_runtime.runtime.recognition.loop import WORKING, Outcome, Sink
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.sync.watch import in_words
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Event, StateChange
from cosmo_runtime.sensors.sensor import SensorInfo

STARTING_S = 60.0
"""How long a run may take to its first window, before that is a trouble."""

BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Trouble(NamedTuple):
    """Something that is wrong.

    Attributes:
        words: what, and what mends it.
        grave: whether the run cannot do what it is for, so that it is not well.
    """

    words: str
    grave: bool


class Histogram:
    """Counts of durations by upper bound. The last one has no bound."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds


class Vitals(Sink):
    """Keeps the figures of a run's health.

    Args:
        infos: infos of the rig's sensors, connected or not.
        queues: the sinks behind queues.
        recordings: the recordings of the run.
        clips: what waits in memory for a clip.
        others: returns what else is wrong now.

    Attributes:
        windows: windows by outcome: ``answered``, ``empty``, ``outdated``, ``refused``.
        latency: time from a window's last sample to its prediction.
        engine: time in the engine alone.
        states: each sensor's state: ``ok``, ``not worn``, ``asleep``, ``absent``, ``lost``, or ``missing`` before it
            first came.
        bundle: the bundle that answered last; empty before that.
        last: the last activity, its confidence, and its time on the host's monotonic clock.
        reason: why nothing is recognised now; empty if something is.
        behind_ms: the sensors that are out of step, and how far each is behind the others.
        corrected_ms: what the run takes off the sensors' times to put them in step.
    """

    def __init__(
        self,
        infos: Mapping[str, SensorInfo],
        queues: Sequence[QueuedSink] = (),
        recordings: Sequence[RecordingSink] = (),
        clips: Optional[ClipRing] = None,
        others: Callable[[], Iterable[Trouble]] = tuple,
    ) -> None:
        self.infos, self.queues, self.recordings, self.clips = infos, queues, recordings, clips
        self._others = others
        self.began_ns = time.monotonic_ns()
        self.windows: Counter[str] = Counter(answered=0, empty=0, outdated=0, refused=0)
        self.latency, self.engine = Histogram(), Histogram()
        self.states: Dict[str, str] = dict.fromkeys(infos, "missing")
        self.bundle = ""
        self.last: Optional[Tuple[str, float, int]] = None
        self.reason = ""
        self.behind_ms: Mapping[str, float] = {}
        self.corrected_ms: Mapping[str, float] = {}

    def event(self, event: Event) -> None:
        """Notes the state of a sensor."""
        if isinstance(event, StateChange) and event.sensor in self.states:
            self.states[event.sensor] = event.state

    def outcome(self, outcome: Outcome) -> None:
        """Counts a window that was answered."""
        prediction = outcome.prediction
        self.windows["answered"] += 1
        self.latency.add(prediction.latency_ms / 1e3)
        self.engine.add(prediction.engine_ms / 1e3)
        self.states.update(outcome.sensors)
        self.bundle = prediction.bundle
        self.last = (prediction.activity, prediction.confidence, time.monotonic_ns())
        self.reason = ""

    def empty(self, windows: int) -> None:
        """Counts windows without data."""
        self.windows["empty"] += windows

    def outdated(self, window: Window) -> None:
        """Counts a window that came too late."""
        self.windows["outdated"] += 1

    def refused(self, window: Window) -> None:
        """Counts a window whose answer was invalid."""
        self.windows["refused"] += 1

    def silence(self, silence: Silence) -> None:
        """Notes why nothing is recognised."""
        self.reason = silence.reason
        self.states.update(silence.sensors)

    def out_of_step(self, behind_ms: Mapping[str, float]) -> None:
        """Notes which sensors are out of step."""
        self.behind_ms = behind_ms

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Notes what is taken off the sensors' times."""
        self.corrected_ms = taken_off_ms

    @property
    def uptime_s(self) -> float:
        """Time since the run began."""
        return (time.monotonic_ns() - self.began_ns) / 1e9

    @property
    def starting(self) -> bool:
        """Whether the first window may still come: sensors are not missed yet."""
        return self.last is None and self.uptime_s < STARTING_S

    @property
    def age_s(self) -> Optional[float]:
        """Time since the last prediction; None before the first."""
        return (time.monotonic_ns() - self.last[2]) / 1e9 if self.last else None

    def troubles(self) -> List[str]:
        """Describes each problem, and what the recordings lack; empty if there is nothing to say."""
        # these are worth knowing, but the run is well
        lighter = [in_words(self.behind_ms)] if self.behind_ms else []
        lighter += [recording.trouble for recording in self.recordings if recording.trouble]
        return self._present() + lighter + [trouble.words for trouble in self._others() if not trouble.grave]

    def _present(self) -> List[str]:
        problems: List[str] = []
        if not self.starting:
            problems += [f"{name} is {state}" for name, state in self.states.items() if state not in WORKING]
        if not self.starting and (self.age_s is None or self.age_s > 10):
            problems.append(f"nothing is recognised{f' ({self.reason})' if self.reason else ''}")
        problems += [trouble.words for trouble in self._others() if trouble.grave]
        return problems + [queue.trouble for queue in self.queues if queue.trouble]

    def as_dict(self) -> Dict[str, Any]:
        """All figures for machines."""
        return {
            "well": not self._present() and all(recording.goes_on for recording in self.recordings),
            "starting": self.starting,
            "troubles": self.troubles(),
            "uptime_s": round(self.uptime_s, 1),
            "bundle": self.bundle or None,
            "windows": dict(self.windows),
            "sensors": dict(self.states),
            "out_of_step_ms": dict(self.behind_ms),
            "corrected_ms": dict(self.corrected_ms),
            "activity": self.last[0] if self.last else None,
            "confidence": round(self.last[1], 4) if self.last else None,
            "last_prediction_s_ago": None if self.age_s is None else round(self.age_s, 1),
            "memory_bytes": _resident_bytes(),
            "clips_memory_bytes": self.clips.held_bytes if self.clips else 0,
            "clips_memory_most_bytes": self.clips.most_bytes if self.clips else 0,
        }


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
