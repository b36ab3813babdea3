"""Turns windows into episodes: what a person did, from when to when. The rule's time comes from its input.

At every moment exactly one state holds: an activity, ``none`` (the person does nothing in particular), ``uncertain``
(there were windows, but no clear activity) or ``gap`` (there were no windows: sensors were lost or sent too little, or
the process was stopped). So episodes follow one another without overlaps and holes.

An activity begins once windows have shown it for ``on_s``, and starts with the first of these. Uncertain windows in
between are ignored. It ends once no window has shown it for ``off_s``, at the end of the last one that did, or when
another activity begins. ``none`` is no activity: a rest shorter than ``off_s`` belongs to the activity around it. A
shorter time between two activities is split in the middle. An episode shorter than ``least_s`` is not plausible and
becomes ``uncertain``. It is not joined with an uncertain episode beside it: what has ended is told at once and never
changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from cosmo_runtime.names import GAP, NONE, UNCERTAIN


@dataclass(frozen=True)
class Hold:
    """How long an activity must be seen, in seconds.

    Attributes:
        on_s: for this long before it begins.
        off_s: not for this long before it ends.
        least_s: for this long in all; a shorter episode is ``uncertain``.
    """

    on_s: float
    off_s: float
    least_s: float


@dataclass(frozen=True)
class Observation:
    """One window's answer about a stretch of time: a hop around its midpoint.

    Attributes:
        start_ns: the start of the stretch, on the host's monotonic clock.
        end_ns: its end.
        activity: a class of the model, or ``uncertain``.
        confidence: its probability.
        sensors: the sensors that saw it.
        bundle: the model that answered.
    """

    start_ns: int
    end_ns: int
    activity: str
    confidence: float
    sensors: Tuple[str, ...] = ()
    bundle: str = ""


@dataclass(frozen=True)
class Episode:
    """A stretch of time with one activity.

    Attributes:
        activity: a class of the model, ``none``, ``uncertain`` or ``gap``.
        start_ns: its start, on the host's monotonic clock.
        end_ns: its end, or the time up to which it is known.
        confidence: mean probability over the windows that showed it; 0 for a gap.
        sensors: the sensors in more than half of these windows.
        windows: how many windows showed it.
        bundle: the model that showed it last.
        reason: why there were no windows, for a gap.
    """

    activity: str
    start_ns: int
    end_ns: int
    confidence: float = 0.0
    sensors: Tuple[str, ...] = ()
    windows: int = 0
    bundle: str = ""
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long it lasted, or has lasted so far."""
        return (self.end_ns - self.start_ns) / 1e9

    def details(self) -> Dict[str, Any]:
        """What windows showed it, or why there were none, in the form of files and messages."""
        if self.activity == GAP:
            return {"reason": self.reason}
        return {
            "confidence": round(self.confidence, 4),
            "sensors": list(self.sensors),
            "windows": self.windows,
            "bundle": self.bundle,
        }


@dataclass
class _Stretch:
    """An episode that grows."""

    activity: str
    start_ns: int
    end_ns: int
    windows: int = 0
    seen_ns: int = 0
    confidence: float = 0.0
    sensors: Counter[str] = field(default_factory=Counter)
    bundle: str = ""
    reason: str = ""

    def add(self, seen: Observation) -> None:
        self.end_ns = seen.end_ns
        self.windows += 1
        self.seen_ns += seen.end_ns - seen.start_ns
        self.confidence += seen.confidence
        self.sensors.update(seen.sensors)
        self.bundle = seen.bundle

    def episode(self, end_ns: int) -> Episode:
        sensors = tuple(name for name, windows in self.sensors.items() if 2 * windows > self.windows)
        confidence = self.confidence / self.windows if self.windows else 0.0
        return Episode(
            self.activity, self.start_ns, end_ns, confidence, sensors, self.windows, self.bundle, self.reason
        )


class EpisodeRule:
    """Turns observations into episodes.

    Args:
        hold: the times of an activity, by its name.
        gap_s: a longer time without windows is a gap; a shorter one is ignored.
    """

    def __init__(self, hold: Callable[[str], Hold], gap_s: float) -> None:
        self._hold = hold
        self._gap_ns = round(gap_s * 1e9)
        self._now: Optional[_Stretch] = None
        self._next: Optional[_Stretch] = None  # what windows show, but not for long enough yet
        self._seen_ns = -1

    @property
    def current(self) -> Optional[Episode]:
        """The present episode, as far as it is known; None before the first window."""
        return self._now.episode(self._now.end_ns) if self._now else None

    def feed(self, seen: Observation) -> List[Episode]:
        """Adds one window's answer, in order of time. Returns the episodes that have ended."""
        start_ns = max(seen.start_ns, self._seen_ns)  # another model's windows may overlap earlier ones
        if seen.end_ns <= start_ns:
            return []
        seen = replace(seen, start_ns=start_ns)
        ended = self.silent(start_ns, "no window came") if self._now else []
        if not self._now or self._now.activity == GAP:
            ended += self._turn_to(_Stretch(UNCERTAIN, start_ns, start_ns), start_ns)
        self._seen_ns = seen.end_ns
        return ended + self._take(seen)

    def silent(self, at_ns: int, reason: str) -> List[Episode]:
        """Notes that there are no windows up to a time. Returns the episode that has ended by then."""
        if self._now is None:
            self._seen_ns = at_ns
            self._now = _Stretch(GAP, at_ns, at_ns, reason=reason)
        elif self._now.activity == GAP:
            self._now.end_ns = max(at_ns, self._now.end_ns)
        elif at_ns - self._seen_ns > self._gap_ns:
            return self._turn_to(_Stretch(GAP, self._seen_ns, at_ns, reason=reason), self._seen_ns)
        return []

    def finish(self) -> List[Episode]:
        """Ends the present episode. The rule can be used again afterwards."""
        if self._now is None:
            return []
        ended = self._end(self._now.end_ns if self._now.activity == GAP else self._seen_ns)
        self._now = self._next = None
        return ended

    def _take(self, seen: Observation) -> List[Episode]:
        now = self._now
        assert now
        if seen.activity == now.activity:
            now.add(seen)
            self._next = self._next if now.activity == UNCERTAIN else None
        elif seen.activity != UNCERTAIN:
            if self._next is None or self._next.activity != seen.activity:
                self._next = _Stretch(seen.activity, seen.start_ns, seen.end_ns)
            self._next.add(seen)
            unsure = now.activity == UNCERTAIN
            over = unsure or seen.end_ns - now.end_ns >= self._hold(now.activity).off_s * 1e9
            if self._next.seen_ns >= self._hold(seen.activity).on_s * 1e9 and (over or seen.activity != NONE):
                begun_ns = self._next.start_ns
                return self._turn_to(self._next, begun_ns if unsure else (now.end_ns + begun_ns) // 2)
        if self._next and seen.end_ns - self._next.end_ns >= self._hold(self._next.activity).off_s * 1e9:
            self._next = None
        unsaid_ns = (self._next.start_ns if self._next else seen.end_ns) - now.end_ns
        if now.activity != UNCERTAIN and unsaid_ns >= self._hold(now.activity).off_s * 1e9:
            return self._turn_to(_Stretch(UNCERTAIN, now.end_ns, seen.end_ns), now.end_ns, self._next)
        return []

    def _turn_to(self, stretch: _Stretch, at_ns: int, following: Optional[_Stretch] = None) -> List[Episode]:
        """Ends the present episode, and begins another one."""
        ended = self._end(at_ns)
        stretch.start_ns = at_ns
        self._now, self._next = stretch, following
        return ended

    def _end(self, at_ns: int) -> List[Episode]:
        if self._now is None or at_ns <= self._now.start_ns:
            return []
        episode = self._now.episode(at_ns)
        if episode.activity not in (GAP, UNCERTAIN) and episode.seconds < self._hold(episode.activity).least_s:
            episode = replace(episode, activity=UNCERTAIN)
        return [episode]
