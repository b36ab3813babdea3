"""Keeps track of alarms: raised, repeated, over, acknowledged."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Collection, Deque, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from cosmo_runtime.runtime.alarms.rules import AlarmRule, Watch
from cosmo_runtime.runtime.episodes.listener import Listener
from cosmo_runtime.runtime.episodes.rule import Episode
from cosmo_runtime.runtime.recognition.loop import call_all

RAISED, REPEATED, OVER, ACKNOWLEDGED = "raised", "repeated", "over", "acknowledged"

_log = logging.getLogger(__name__)


class News(NamedTuple):
    """A change of an alarm.

    Attributes:
        rule: the alarm's rule.
        state: ``raised``, ``repeated``, ``over`` or ``acknowledged``.
        at_ns: when it changed, on the host's monotonic clock.
        quiet: whether it is quiet hours: the alarm is logged, but nobody is notified.
        stands: whether nobody has acknowledged it, and it is either not over or stays on after it is over.
        on: whether it stands, and somebody was notified: quiet hours that begin later do not take that back.
        lasts: whether what it was raised for still goes on.
        evidence: what raised the alarm.
    """

    rule: AlarmRule
    state: str
    at_ns: int
    quiet: bool
    stands: bool
    on: bool
    lasts: bool
    evidence: Mapping[str, Any]


@dataclass
class _Standing:
    """An alarm that stands."""

    evidence: Mapping[str, Any]
    notified_ns: Optional[int]
    on: bool = False
    over: bool = False
    acknowledged: bool = False


def is_on(last: Mapping[str, Any]) -> bool:
    """Whether an alarm was on at its last entry in the log."""
    return bool(last.get("on", last.get("stands") and not last.get("quiet")))  # earlier versions did not write it


def lasted(last: Mapping[str, Any]) -> bool:
    """Whether what an alarm was raised for still went on at its last entry in the log."""
    return bool(last.get("lasts", last.get("state") == RAISED))  # likewise


class AlarmBoard(Listener):
    """Raises alarms by episodes. A standing alarm is raised again only if its cause was over in between.

    Args:
        rules: the alarms' rules.
        tell: callbacks for changes. The first one must store them.
        local_time: the local time at a time of the host's monotonic clock.
        standing: the evidence, by name, of alarms that an earlier run left standing. Those without a rule stand until
            somebody acknowledges them.
        on: names of those that were on.
        lasting: names of those that still went on. With the first window they go on, or are over.
        acknowledged: names of alarms that somebody has acknowledged. It is called after every window.
    """

    def __init__(
        self,
        rules: Iterable[AlarmRule],
        tell: Sequence[Callable[[News], None]],
        local_time: Callable[[int], datetime],
        standing: Optional[Mapping[str, Mapping[str, Any]]] = None,
        on: Collection[str] = (),
        lasting: Collection[str] = (),
        acknowledged: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._watches = [Watch(rule) for rule in rules]
        self._tell = tell
        self._local_time = local_time
        self._acknowledged = acknowledged
        self._asked: Deque[str] = deque()
        self._at_ns = 0
        left = standing or {}
        # one that stands only while it lasts is over, unless it goes on; that is told with the first window
        self._standing: Dict[str, _Standing] = {
            watch.rule.name: _Standing(
                left[watch.rule.name],
                None,
                watch.rule.name in on,
                over=watch.rule.stands_until_acknowledged and watch.rule.name not in lasting,
            )
            for watch in self._watches
            if watch.rule.name in left
        }
        self._without_rule = [
            AlarmRule.model_construct(name=name, activity=evidence["activity"])
            for name, evidence in left.items()
            if name not in self._standing
        ]
        for rule in self._without_rule:
            self._standing[rule.name] = _Standing(left[rule.name], None, rule.name in on, over=rule.name not in lasting)
            _log.warning(
                "alarm %s still stands, but the configuration no longer has its rule: acknowledge it", rule.name
            )

    @property
    def standing(self) -> Dict[str, Mapping[str, Any]]:
        """The evidence, by name, of standing alarms that nobody has acknowledged."""
        return {name: alarm.evidence for name, alarm in list(self._standing.items()) if not alarm.acknowledged}

    def acknowledge(self, name: str) -> None:
        """Acknowledges an alarm. Any thread may call this. It takes effect with the next window."""
        self._asked.append(name)

    def now(self, episode: Episode) -> None:
        """Checks every rule."""
        self._at_ns = max(self._at_ns, episode.end_ns)
        asked = {*self._acknowledged(), *(self._asked.popleft() for _ in range(len(self._asked)))}
        for watch in self._watches:
            self._look(watch, episode, watch.rule.name in asked)
        for rule in self._without_rule:
            self._look_without_rule(rule, rule.name in asked)

    def _look(self, watch: Watch, episode: Episode, acknowledged: bool) -> None:
        rule = watch.rule
        met = watch.met(episode)
        alarm = self._standing.get(rule.name)
        if met and (alarm is None or alarm.over):
            since_ns = watch.since_ns(episode)
            since = self._local_time(since_ns).isoformat(timespec="milliseconds")
            seconds = round((episode.end_ns - since_ns) / 1e9, 3)
            evidence = {"since": since, "activity": episode.activity, "seconds": seconds, **episode.details()}
            self._standing[rule.name] = _Standing(evidence, None, alarm is not None and alarm.on)
            self._say(rule, RAISED)
            return
        if alarm is None:
            return
        if acknowledged and not alarm.acknowledged:
            alarm.acknowledged = True
            self._say(rule, ACKNOWLEDGED)
        if not met and not alarm.over:
            alarm.over = True
            self._say(rule, OVER)
        if alarm.over and (alarm.acknowledged or not rule.stands_until_acknowledged):
            del self._standing[rule.name]
        elif not alarm.acknowledged and not self._is_quiet(rule):
            repeated = rule.repeat_s is not None and alarm.notified_ns is not None
            if alarm.notified_ns is None or (
                repeated and self._at_ns - alarm.notified_ns >= (rule.repeat_s or 0) * 1e9
            ):
                self._say(rule, REPEATED)

    def _look_without_rule(self, rule: AlarmRule, acknowledged: bool) -> None:
        """Nobody looks whether it goes on, so it is over."""
        alarm = self._standing.get(rule.name)
        if alarm is None:
            return
        if not alarm.over:
            alarm.over = True
            self._say(rule, OVER)
        if acknowledged:
            alarm.acknowledged = True
            self._say(rule, ACKNOWLEDGED)
            del self._standing[rule.name]

    def _say(self, rule: AlarmRule, state: str) -> None:
        alarm, quiet = self._standing[rule.name], self._is_quiet(rule)
        if not quiet and state in (RAISED, REPEATED):
            alarm.notified_ns, alarm.on = self._at_ns, True
        stands = not alarm.acknowledged and (not alarm.over or rule.stands_until_acknowledged)
        news = News(rule, state, self._at_ns, quiet, stands, stands and alarm.on, not alarm.over, alarm.evidence)
        call_all(self._tell, "__call__", news)
        if not quiet:
            level = logging.INFO if state in (OVER, ACKNOWLEDGED) else logging.WARNING
            _log.log(level, "alarm %s: %s (%s)", rule.name, state, _words(alarm.evidence))

    def _is_quiet(self, rule: AlarmRule) -> bool:
        return rule.quiet is not None and rule.is_quiet(self._local_time(self._at_ns).time())


def _words(evidence: Mapping[str, Any]) -> str:
    parts: List[str] = [f"{evidence['activity']} for {evidence['seconds']:.1f} s"]
    if "confidence" in evidence:
        parts += [f"{evidence['confidence']:.0%} sure", f"by {', '.join(evidence['sensors']) or 'no sensor'}"]
    return ", ".join(parts)
