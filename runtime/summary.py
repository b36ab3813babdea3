"""What a run came to."""

from __future__ import annotations

from collections import Counter, deque
from typing import Deque, Dict, List, Mapping, NamedTuple, Optional

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from runtime.loop import Outcome, Sink
from runtime.recognizer import UNCERTAIN
from runtime.truth import TruthLine
from sensors.events import Event, Truth
from sensors.sensor import SensorInfo

_LATENCIES_KEPT = 7200
REST = "none"


class _Guess(NamedTuple):
    middle_ns: int
    activity: str
    confidence: float


class Summary(Sink):
    """Counts windows, latencies and, where the truth is known, how often the recogniser was right.

    Attributes:
        windows: predictions made.
        bundles: by bundle, how many of them it made.
        uncertain: of those, below the threshold of certainty.
        late: of those, closed by the lateness budget.
        inside: windows that lie wholly inside one true activity.
        inside_right: of those, recognised.
        rests: windows whose middle lies in a rest between activities.
        rests_right: of those, called one; ``uncertain`` is wrong.
    """

    def __init__(self, infos: Mapping[str, SensorInfo]) -> None:
        self.windows = self.uncertain = self.late = self.inside = self.inside_right = 0
        self.rests = self.rests_right = 0
        self.bundles: Counter[str] = Counter()
        self.absent: Counter[str] = Counter()
        self._infos = infos
        self._latency_ms: Deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._engine_ms: Deque[float] = deque(maxlen=_LATENCIES_KEPT)
        self._truths = TruthLine()
        self._guesses: List[_Guess] = []

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
        self.late += outcome.window.late
        self.absent.update(name for name, present in prediction.present.items() if not present)
        self._latency_ms.append(prediction.latency_ms)
        self._engine_ms.append(prediction.engine_ms)
        if outcome.truth is None:
            return
        self.inside += outcome.inside
        self.inside_right += outcome.inside and prediction.activity == outcome.truth
        best = max(prediction.probabilities, key=prediction.probabilities.__getitem__)
        self._guesses.append(_Guess(outcome.middle_ns, best, prediction.confidence))
        if self._truths.at(outcome.middle_ns) == REST:
            self.rests += 1
            self.rests_right += prediction.activity == REST

    def activities(self) -> Optional[tuple[int, int]]:
        """Counts true activities whose most confident window names them.

        A window counts for the activity in which its middle lies, that is, in which more than half of it lies. A
        rest between activities is not asked for; to take an activity for one is wrong.

        Returns:
            How many were right and how many there were; None when no truth is known.
        """
        right = total = position = 0
        for segment in self._truths.segments():
            best: Optional[_Guess] = None
            while position < len(self._guesses) and self._guesses[position].middle_ns < segment.end_ns:
                guess = self._guesses[position]
                if best is None or guess.confidence > best.confidence:
                    best = guess
                position += 1
            if segment.activity == REST or best is None:
                continue
            total += 1
            right += best.activity == segment.activity
        return (right, total) if total else None

    def as_dict(self) -> Dict[str, object]:
        """Returns all figures for machines."""
        figures: Dict[str, object] = {"windows": self.windows, "uncertain": self.uncertain, "late": self.late}
        if self.windows:
            figures["bundles"] = dict(self.bundles)
            for name, values in ("latency_ms", self._latency_ms), ("engine_ms", self._engine_ms):
                p50, p99 = np.percentile(values, [50, 99])
                figures[name] = {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(max(values), 2)}
        if self.inside:
            figures["inside"] = {"windows": self.inside, "right": self.inside_right}
        if self.rests:
            figures["rests"] = {"windows": self.rests, "right": self.rests_right}
        activities = self.activities()
        if activities:
            figures["activities"] = {"total": activities[1], "right": activities[0]}
        figures["sensors"] = {
            name: {**info.counts, "absent_windows": self.absent[name]} for name, info in self._infos.items()
        }
        return figures

    def render(self) -> Group:
        """Returns all figures for people."""
        figures = self.as_dict()
        lines = [f"[bold]{self.windows}[/] windows, {self.uncertain} uncertain, {self.late} closed late"]
        if len(self.bundles) > 1:
            lines.append("of which by " + ", ".join(f"{name} {windows}" for name, windows in self.bundles.items()))
        for name, words in ("latency_ms", "latency"), ("engine_ms", "of which engine"):
            if name in figures:
                lines.append("{}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {max:.1f} ms".format(words, **figures[name]))  # type: ignore[arg-type]
        if self.inside:
            share = self.inside_right / self.inside
            lines.append(
                f"windows wholly inside one activity: {self.inside_right} of {self.inside} right ({share:.1%})"
            )
        if self.rests:
            share = self.rests_right / self.rests
            lines.append(f"windows of rests between activities: {self.rests_right} of {self.rests} right ({share:.1%})")
        activities = self.activities()
        if activities:
            right, total = activities
            lines.append(f"activities whose most confident window is right: {right} of {total} ({right / total:.1%})")
        table = Table("sensor", "samples", "lost", "absent windows", "also counted", box=None, header_style="dim")
        for name, info in self._infos.items():
            rest = {
                key: value for key, value in info.counts.items() if key not in ("samples", "lost_samples") and value
            }
            others = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in sorted(rest.items()))
            counts = info.counts
            table.add_row(
                name, str(counts["samples"]), str(counts["lost_samples"]), str(self.absent[name]), others or "–"
            )
        return Group(*(Text.from_markup(line) for line in lines), table)
