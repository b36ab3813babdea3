"""The closing summary of a run."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Any, Deque, Dict, Iterator, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cosmo_runtime.names import NOBODY, NONE, UNCERTAIN
from cosmo_runtime.runtime.labels.truth import TruthLine
from cosmo_runtime.runtime.recognition.loop import Outcome, Sink
from cosmo_runtime.runtime.recognition.silence import Silence
from cosmo_runtime.runtime.sinks.queued import QueuedSink
from cosmo_runtime.runtime.sinks.recording import RecordingSink
from cosmo_runtime.runtime.windows.aligner import Window
from cosmo_runtime.sensors.events import Event, Truth
from cosmo_runtime.sensors.sensor import SensorInfo

_LATENCIES_KEPT = 7200
_TRUTH_LATE_NS = 60 * 10**9  # most that a true activity is told after its time


class _Guess(NamedTuple):
    middle_ns: int
    activity: str
    confidence: float


class Summary(Sink):
    """Counts windows, latencies and, where the truth is known, how often the recogniser was right.

    Args:
        infos: the sensors' infos.
        queues: other sinks of the run, which may have dropped calls.
        recordings: the run's recordings, which may have stopped before it.

    Attributes:
        windows: the number of predictions.
        bundles: the number of predictions by each bundle.
        empty_windows: windows without an answer, because no sensor had enough data.
        outdated_windows: windows without an answer, because the run had fallen too far behind.
        last_silence: the last reason why there were no answers.
        refused_windows: windows without an answer, because the model's was invalid.
        uncertain: predictions that were ``uncertain``.
        nobody: predictions that were ``nobody``.
        late: predictions for windows that the lateness budget closed.
        inside: windows that lie wholly inside one true activity for which the model has a name.
        inside_right: windows among those that were recognised.
        unnamed: windows inside one true activity for which the model has no name, by that activity.
        rests: windows with the midpoint in a rest between activities.
        rests_right: windows among those that were recognised as a rest; ``uncertain`` is wrong.
    """

    def __init__(
        self,
        infos: Mapping[str, SensorInfo],
        queues: Sequence[QueuedSink] = (),
        recordings: Sequence[RecordingSink] = (),
    ) -> None:
        self.windows = self.uncertain = self.nobody = self.late = self.inside = self.inside_right = 0
        self.rests = self.rests_right = self.empty_windows = self.outdated_windows = self.refused_windows = 0
        self.last_silence: Optional[Silence] = None
        self.bundles: Counter[str] = Counter()
        self.absent: Counter[str] = Counter()
        self.asleep: Counter[str] = Counter()
        self.unnamed: Counter[str] = Counter()
        self._corrected_ms: Mapping[str, float] = {}
        self._infos = infos
        self._queues = queues
        self._recordings = recordings
        self._latency_ms: Deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._engine_ms: Deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._truths = TruthLine()
        self._guesses: Deque[_Guess] = deque()  # in true activities that are not counted yet
        self._told_right: Counter[str] = Counter()  # true activities that are, by name
        self._told: Counter[str] = Counter()
        self._names = {NONE, NOBODY}  # that a model of this run could have answered

    def event(self, event: Event) -> None:
        """Notes the truth."""
        if isinstance(event, Truth):
            self._truths.add(event)

    def outcome(self, outcome: Outcome) -> None:
        """Counts one prediction."""
        prediction = outcome.prediction
        self.windows += 1
        self.bundles[prediction.bundle] += 1
        self.uncertain += prediction.activity == UNCERTAIN
        self.nobody += prediction.activity == NOBODY
        self.late += outcome.window.late
        self.absent.update(name for name, present in prediction.present.items() if not present)
        self.asleep.update(prediction.asleep)
        self._latency_ms.append(prediction.latency_ms)
        self._engine_ms.append(prediction.engine_ms)
        if outcome.truth is None:
            return
        self._names.update(prediction.probabilities)
        if outcome.inside and outcome.truth not in {*prediction.probabilities, NONE, NOBODY}:
            self.unnamed[outcome.truth] += 1
        elif outcome.inside:
            self.inside += 1
            self.inside_right += prediction.activity == outcome.truth
        best = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
        self._guesses.append(_Guess(outcome.middle_ns, best, prediction.confidence))
        self._settle(outcome.middle_ns - _TRUTH_LATE_NS)
        if self._truths.at(outcome.middle_ns) == NONE:
            self.rests += 1
            self.rests_right += prediction.activity == NONE

    def empty(self, windows: int) -> None:
        """Counts windows without data."""
        self.empty_windows += windows

    def outdated(self, window: Window) -> None:
        """Counts a window that came too late."""
        self.outdated_windows += 1

    def silence(self, silence: Silence) -> None:
        """Notes why there are no answers."""
        self.last_silence = silence

    def refused(self, window: Window) -> None:
        """Counts a window whose answer was invalid."""
        self.refused_windows += 1

    def corrected(self, taken_off_ms: Mapping[str, float]) -> None:
        """Notes what the run takes off the sensors' times."""
        self._corrected_ms = taken_off_ms

    def activities(self) -> Optional[tuple[int, int]]:
        """Counts the true activities that their most confident window names.

        A window belongs to the activity at its midpoint, which fills more than half of it. Rests between activities and
        activities for which the model has no name are not counted. An activity taken for a rest is wrong.

        Returns:
            How many were right and how many there were; None if no true activities are known.
        """
        self._settle()
        named = self._names - {NONE, NOBODY}
        total = sum(self._told[name] for name in named)
        return (sum(self._told_right[name] for name in named), total) if total else None

    def _settle(self, until_ns: float = math.inf) -> None:
        """Counts the true activities that ended by a time, and keeps only the best window of the one that goes on."""
        for segment in self._truths.segments():
            if segment.end_ns > until_ns:
                break
            best = self._best_before(segment.end_ns)
            if best:
                self._told[segment.activity] += 1
                self._told_right[segment.activity] += best.activity == segment.activity
        self._truths.forget(until_ns)
        best = self._best_before(until_ns) if until_ns < math.inf else None
        if best:  # of an activity that goes on, for hours perhaps
            self._guesses.appendleft(best)

    def _best_before(self, end_ns: float) -> Optional[_Guess]:
        """Takes out the guesses before a time. Returns the most confident one."""
        best: Optional[_Guess] = None
        while self._guesses and self._guesses[0].middle_ns < end_ns:
            guess = self._guesses.popleft()
            if best is None or guess.confidence > best.confidence:
                best = guess
        return best

    def as_dict(self) -> Dict[str, object]:
        """Returns all figures for machines."""
        figures: Dict[str, object] = {"windows": self.windows, "uncertain": self.uncertain, "late": self.late}
        figures["nobody"] = self.nobody
        figures["windows_lost"] = {
            "empty": self.empty_windows,
            "outdated": self.outdated_windows,
            "refused": self.refused_windows,
        }
        if self.windows:
            figures["bundles"] = dict(self.bundles)
            for name, values in ("latency_ms", self._latency_ms), ("engine_ms", self._engine_ms):
                p50, p99 = np.percentile(values, [50, 99])
                figures[name] = {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(max(values), 2)}
        if self.inside:
            figures["inside"] = {"windows": self.inside, "right": self.inside_right}
        if self.unnamed:
            figures["unnamed"] = dict(sorted(self.unnamed.items()))
        if self.rests:
            figures["rests"] = {"windows": self.rests, "right": self.rests_right}
        activities = self.activities()
        if activities:
            figures["activities"] = {"total": activities[1], "right": activities[0]}
        if self._queues:
            figures["sinks"] = {
                queue.name: {"dropped": dict(queue.dropped), "errors": queue.errors} for queue in self._queues
            }
        if self._recordings:
            figures["recordings"] = {
                str(recording.writer.path): {"dropped": recording.writer.dropped, "trouble": recording.trouble}
                for recording in self._recordings
            }
        if self._corrected_ms:
            figures["corrected_ms"] = dict(self._corrected_ms)
        figures["sensors"] = {
            name: {
                **info.counts,
                "absent_windows": self.absent[name],
                **({"asleep_windows": self.asleep[name]} if self.asleep else {}),
            }
            for name, info in self._infos.items()
        }
        return figures

    def render(self) -> Group:
        """Returns all figures for people."""
        counted = f" windows, {self.uncertain} uncertain, {self.late} closed before a late sensor arrived"
        lines = [*self._what_went_wrong(), *self._answers()]
        return Group(Text.assemble((str(self.windows), "bold"), counted), *map(Text, lines), self._sensors())

    def _what_went_wrong(self) -> Iterator[str]:
        if self.empty_windows:
            yield f"{self.empty_windows} windows lost: no sensor had enough data in them"
        if self.outdated_windows:
            yield f"{self.outdated_windows} windows lost: this machine could not keep up"
        if self.refused_windows:
            yield f"{self.refused_windows} windows lost: the model's output was invalid"
        yield from (queue.trouble for queue in self._queues if queue.trouble)
        yield from (recording.trouble for recording in self._recordings if recording.trouble)
        if self._corrected_ms:
            permanent = ", ".join(
                f"{name} latency_ms = {round(self._infos[name].latency_ms + ms)}"
                for name, ms in self._corrected_ms.items()
                if name in self._infos
            )
            yield f"sensors were put in step; to make it permanent, set {permanent}"

    def _answers(self) -> Iterator[str]:
        if self.nobody:
            yield f"{self.nobody} windows with nobody there"
        if len(self.bundles) > 1:
            yield "answered by " + ", ".join(f"{name} {windows}" for name, windows in self.bundles.items())
        figures: Dict[str, Any] = self.as_dict()
        for name, words in ("latency_ms", "latency"), ("engine_ms", "of which engine"):
            if name in figures:
                yield "{}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max:.1f} ms".format(words, **figures[name])
        if self.inside:
            yield f"windows wholly inside one activity: {_share_right(self.inside_right, self.inside)}"
        if self.unnamed:
            names = ", ".join(sorted(self.unnamed))
            yield f"{sum(self.unnamed.values())} windows are not counted, because the model has no name for {names}"
        if self.rests:
            yield f"windows of rests between activities: {_share_right(self.rests_right, self.rests)}"
        activities = self.activities()
        if activities:
            right, total = activities
            yield f"activities whose most confident window is right: {right} of {total} ({right / total:.1%})"

    def _sensors(self) -> Table:
        table = Table("sensor", "samples", "lost", "absent windows", "also counted", box=None, header_style="dim")
        for name, info in self._infos.items():
            rest = info.losses
            lost = rest.pop("lost_samples", 0)
            if self.asleep[name]:
                rest["asleep_windows"] = self.asleep[name]
            others = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in sorted(rest.items()))
            table.add_row(name, str(info.counts["samples"]), str(lost), str(self.absent[name]), Text(others or "–"))
        return table


def _share_right(right: int, total: int) -> str:
    return f"{right} of {total} right ({right / total:.1%})"
